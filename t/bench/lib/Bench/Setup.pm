package Bench::Setup;

# The servers of a run: Redis, the upstream and the gateways.

use strict;
use warnings;

use File::Path qw(make_path);
use HTTP::Tiny ();
use IO::Socket::INET ();
use JSON::PP ();
use POSIX ();

use Bench::Redis ();
use Bench::Server ();

my @ports = qw(upstream bare lua zapier redis capture runs waiters);


# new(dir =>, source =>, port =>, module =>, nginx =>, zone_size =>)
sub new {
    my ($class, %o) = @_;
    my $self = bless { %o, gateways => {} }, $class;
    my $port = $o{port};

    $self->{ports} = { map { $_ => $port++ } @ports };

    make_path("$o{dir}/conf", "$o{dir}/logs", "$o{dir}/temp");

    my @cpus = cpus();

    ($self->{cpu}, $self->{load_cpu}) = @cpus[0, -1] if @cpus > 1;

    $self->{vars} = {
        USER         => $> == 0 ? "user root;" : "",
        CONF         => "$o{dir}/conf",
        ROOT         => $o{dir},
        LUA          => "$o{source}/lua",
        LUA_MODULES  => $self->lua_modules() // "",
        MODULE       => $o{module} // "",
        ZONE_SIZE    => $o{zone_size},
        GATEWAY_MASK => mask($self->{cpu}),
        LOAD_MASK    => mask($self->{load_cpu}),
        map { uc($_) . "_PORT" => $self->{ports}{$_} } @ports
    };

    $self->render($_) for qw(temp gateway headers);

    return $self;
}


# The processors this process may use.
sub cpus {
    my ($list) = `taskset -cp $$` =~ /: (\S+)/;

    return map { /(\d+)-(\d+)/ ? $1 .. $2 : 0 + $_ } split /,/, $list // "";
}


sub mask {
    my ($cpu) = @_;

    return defined $cpu ? "1" . "0" x $cpu : "auto";
}


# Debian's Lua module, which fits only Debian's nginx.
sub lua_modules {
    my ($self) = @_;
    my ($dir) = `$self->{nginx} -V 2>&1` =~ /--modules-path=(\S+)/;

    return if !defined $dir || !-e "$dir/ngx_http_lua_module.so";

    return $dir;
}


sub render {
    my ($self, $name) = @_;
    my $vars = $self->{vars};

    open my $in, "<", "$self->{source}/conf/$name.conf"
        or die "conf/$name.conf: $!\n";
    my $text = join "", <$in>;

    $text =~ s/\@([A-Z_]+)\@/$vars->{$1} \/\/ die "no $1 in $name.conf"/ge;

    open my $out, ">", "$self->{dir}/conf/$name.conf"
        or die "$self->{dir}/conf/$name.conf: $!\n";
    print $out $text;
    close $out or die "$self->{dir}/conf/$name.conf: $!\n";
}


sub start_nginx {
    my ($self, $name) = @_;
    my $dir = $self->{dir};
    my $port = $self->{ports}{$name};

    $self->render($name);

    # what the heap gives back of large bodies, to take it again at once,
    # is a matter of what happens to lie at its end

    local $ENV{MALLOC_TRIM_THRESHOLD_} = 128 << 20;
    local $ENV{MALLOC_MMAP_THRESHOLD_} = 32 << 20;

    my $pid = Bench::Server::start($name, $port, "$dir/logs/$name.out",
                                   $self->{nginx}, "-p", "$dir/", "-c",
                                   "$dir/conf/$name.conf", "-e",
                                   "$dir/logs/$name.log");

    my ($worker) = Bench::Server::children($pid);

    return $self->{gateways}{$name} = {
        port => $port, worker => $worker, master => $pid,
        url => "http://127.0.0.1:$port",
    };
}


sub stop_nginx {
    my ($self, $name) = @_;

    Bench::Server::stop(delete($self->{gateways}{$name})->{master});
}


sub start_redis {
    my ($self) = @_;
    my $port = $self->{ports}{redis};
    my @pin = defined $self->{load_cpu} ? ("taskset", "-c", $self->{load_cpu})
                                        : ();

    Bench::Server::start("redis", $port, "$self->{dir}/logs/redis.log",
                         @pin, "redis-server", "--port", $port, "--bind",
                         "127.0.0.1", "--save", "", "--appendonly", "no",
                         "--dir", $self->{dir});

    Bench::Redis::add_tenants($port, 0, 1);
    Bench::Redis::add_tenants($port, 9999999, 10000000);
}


# For the gateway to find in Redis, and for nginx as a file.
sub keep_result {
    my ($self, $tenant, $id, $text) = @_;
    my $file = "$self->{dir}/static/$id";

    make_path("$self->{dir}/static");

    open my $fh, ">", $file or die "$file: $!\n";
    print $fh $text;
    close $fh or die "$file: $!\n";

    Bench::Redis::store($self->{ports}{redis}, "zapier:run:{$tenant}:$id",
                        $text);
}


sub gateway {
    my ($self, $name) = @_;

    return $self->{gateways}{$name};
}


sub request {
    my ($self, $name, $method, $path, $tenant, $body) = @_;
    my %headers = ("X-Tenant" => $tenant);

    $headers{"Content-Type"} = "application/json" if defined $body;

    return HTTP::Tiny->new(timeout => 10)->request($method,
        $self->gateway($name)->{url} . $path,
        { headers => \%headers, defined $body ? (content => $body) : () });
}


# One request as the upstream gets it: its head and its body.
sub capture {
    my ($self, $name, $body) = @_;
    my $socket = IO::Socket::INET->new(Listen => 1, ReuseAddr => 1,
                                       LocalAddr => "127.0.0.1",
                                       LocalPort => $self->{ports}{capture})
        or die "port $self->{ports}{capture}: $!\n";
    my $file = "$self->{dir}/capture";
    my $pid = fork() // die "fork: $!\n";

    if ($pid == 0) {
        alarm 10;
        POSIX::_exit(receive(scalar $socket->accept(), $file));
    }

    $self->request($name, "POST", "/capture", "t0000000", $body);
    waitpid $pid, 0;
    die "$name sent no request, see its log\n" if $? != 0;

    open my $fh, "<", $file or die "$file: $!\n";

    return split /\r\n\r\n/, join("", <$fh>), 2;
}


sub receive {
    my ($client, $file) = @_;
    my $data = "";

    while ($data !~ /^Content-Length: (\d+)\r\n.*?\r\n\r\n/ms
           || length($data) < $+[0] + $1)
    {
        $client->sysread($data, 65536, length $data) or return 1;
    }

    open my $fh, ">", $file or return 1;
    print $fh $data;
    close $fh or return 1;

    $client->syswrite("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                      . "Connection: close\r\n\r\n{}");
    return 0;
}


# Only gateways that do the job may be compared.
sub check {
    my ($self, $name, $body) = @_;
    my ($head, $sent) = $self->capture($name, $body);
    my $json = JSON::PP->new->canonical->utf8;
    my $want = $json->encode({ data => $json->decode($body) });
    my $token = Bench::Redis::token(0);

    die "$name does not send the token of the tenant\n"
        if $head !~ /^Authorization: Bearer \Q$token\E\r?$/m;

    die "$name does not keep connections to the upstream\n"
        if $head =~ /^Connection: close/mi;

    die "$name does not send the right body\n"
        if $json->encode($json->decode($sent)) ne $want;
}


# Lets the upstream close the gate of a tenant; the answer that follows.
sub close_gate {
    my ($self, $name, $tenant, $body) = @_;

    $self->request($name, "POST", "/closed", $tenant, $body);

    my $answer = $self->request($name, "POST", "/closed", $tenant, $body);

    die "$name does not close its gate after a 429\n"
        if $answer->{status} != 429
           || $answer->{content} !~ /GATEWAY/;

    return $answer->{content};
}


1;
