package Zapier::Nginx;

# A node: an nginx with the module, its own directory and port.
#
#   my $node = Zapier::Nginx->new(
#       port => 24113, workers => 2, redis => $redis, sandbox => $sandbox,
#       http => 'zapier_token_cache 1s;', server => 'location / { ... }',
#   )->start;
#   $node->reload; $node->workers; $node->log; $node->complaints;
#
# Without "server" it has two locations for the tenant $http_x_tenant:
# /v2/action-runs with zapier_body action_run, and all else.  "config"
# replaces the whole file.

use strict;
use warnings;

use parent 'Zapier::Process';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Time::HiRes qw(sleep time);


my $top = abs_path(dirname(__FILE__) . '/../../..');


sub binary { $ENV{TEST_NGINX_BINARY} || 'nginx' }
sub params { "$top/zapier_params" }


# The load_module directive, or nothing for a binary that has the module.

sub load_module {
    my $binary = binary();

    return '' if `$binary -V 2>&1` =~ /--add-module=\S+/;

    my $module = $ENV{TEST_ZAPIER_MODULE}
        || "$top/build/module/objs/ngx_http_zapier_module.so";

    return "load_module $module;";
}


sub default_server {
    return <<'END';
        location = /v2/action-runs {
            zapier_tenant  $http_x_tenant;
            zapier_body    action_run;
            include        $params;
            proxy_pass     http://sandbox;
        }

        location / {
            zapier_tenant  $http_x_tenant;
            include        $params;
            proxy_pass     http://sandbox;
        }
END
}


sub write_config {
    my ($self) = @_;

    my $text = $self->{config} // $self->build_config;
    my $params = params();
    $text =~ s/\$params\b/$params/g;

    open my $file, '>', "$self->{dir}/nginx.conf" or die "nginx.conf: $!";
    print $file $text;
    CORE::close $file;
}


sub build_config {
    my ($self) = @_;
    my %p = (workers => 1, connections => 1024, http => '', main => '',
             level => 'info', core => 0, %$self);

    $p{server} //= default_server();
    $p{user} = $> == 0 ? 'user root;' : '';
    $p{load} = load_module();

    my $dir  = $p{dir};
    my $http = $p{http};

    $http = "zapier_redis unix:" . $p{redis}->socket . ";\n$http"
        if $p{redis} && $http !~ /^\s*zapier_redis\s/m;
    $http = "upstream sandbox { server 127.0.0.1:" . $p{sandbox}->port
        . "; keepalive 32; }\n$http" if $p{sandbox};

    return <<"END";
$p{load}
$p{user}
daemon off;
worker_processes $p{workers};
pid $dir/nginx.pid;
lock_file $dir/nginx.lock;
error_log $dir/error.log $p{level};
worker_rlimit_core $p{core};
$p{main}

events {
    worker_connections $p{connections};
}

http {
    access_log $dir/access.log;
    client_body_temp_path $dir/client_body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    $http

    server {
        listen 127.0.0.1:$p{port};
        $p{server}
    }
}
END
}


sub command {
    my ($self, @args) = @_;

    return (binary(), '-p', "$self->{dir}/", '-e', "$self->{dir}/error.log",
            '-c', "$self->{dir}/nginx.conf", @args);
}


sub start {
    my ($self) = @_;

    $self->write_config;

    return $self->spawn($self->command)->wait_port;
}


# nginx -t: its output, and whether it was content

sub check {
    my ($self) = @_;

    $self->write_config;

    my @command = $self->command('-t');
    my $output  = `@command 2>&1`;

    return ($? == 0, $output);
}


# Reloads, with other settings if there are any, and waits for workers of
# the new configuration.

sub reload {
    my ($self, %changes) = @_;
    my %old = map { $_ => 1 } $self->workers;

    @$self{keys %changes} = values %changes;
    $self->write_config;
    $self->signal('HUP');

    for (1 .. 1000) {
        return $self if grep { !$old{$_} } $self->workers;
        sleep 0.01;
    }

    die "no new worker: ", $self->log;
}


# Pids of the workers, those that are shutting down too.

sub workers {
    my ($self) = @_;
    my @found;

    for my $stat (glob '/proc/[0-9]*/stat') {
        open my $file, '<', $stat or next;
        my $line = <$file> // next;
        my ($pid, $state, $parent) = $line =~ /^(\d+) \(.*\) (\S) (\d+)/
            or next;
        push @found, $pid if $parent == $self->{pid} && $state ne 'Z';
    }

    return @found;
}


# A killed master leaves its workers behind, a killed node does not.

sub stop {
    my ($self, $signal, $seconds) = @_;

    if (($signal // '') eq 'KILL' && $self->{pid}) {
        $self->signal('STOP');

        for (1 .. 200) {
            last if Zapier::Process::slurp("/proc/$self->{pid}/stat")
                    =~ /\) [TZ] /;
            sleep 0.01;
        }

        kill KILL => $self->{pid}, $self->workers;
    }

    return $self->SUPER::stop($signal // 'QUIT', $seconds);
}


sub log { Zapier::Process::slurp("$_[0]{dir}/error.log") }
sub access_log { Zapier::Process::slurp("$_[0]{dir}/access.log") }


# Lines that no test may cause; patterns of what is expected may be given.

sub complaints {
    my ($self, @expected) = @_;
    my @lines = grep {
        /\[(?:alert|emerg|crit)\]|runtime error:|AddressSanitizer/
    } split /\n/, $self->log . Zapier::Process::slurp("$self->{dir}/stderr");

    for my $pattern (@expected) {
        @lines = grep { !/$pattern/ } @lines;
    }

    return @lines;
}


1;
