# An upstream that counts as Zapier documents it (so many calls for an address,
# so many for a partner, and silence after one too many) sees no call too many
# of this module at ten times the demand.  The same job by bare proxy_pass, by
# limit_req and in Lua, in the same run, shows what that is worth.
#
# FAULTS_SECONDS says how long; FAULTS_WINDOW=60 makes the limits the real ones.

use strict;
use warnings;

use lib 't/lib';
use IO::Select;
use Test::More;
use Time::HiRes qw(sleep time);
use ZapierNode;

my $window  = $ENV{FAULTS_WINDOW} || 2;
my $seconds = $ENV{FAULTS_SECONDS} || 3 * $window;

# 60 calls for each of three addresses and 150 for all of them in a window

my ($ip, $partner) = (60, 150);
my $redis = redis();

token($redis, "t$_") for 1 .. 20;

# A node for each address; what is asked for stands in $p{ask}

sub nodes {
    my (%p) = @_;
    my $sandbox = sandbox();
    my @nodes = map {
        my $server = $p{server};

        $server =~ s/\$address/127.0.0.$_/g;
        node(sandbox => $sandbox, workers => 1, http => $p{http} // '',
             main => $p{main} // '', server => $server,
             $p{redis} ? (redis => $redis) : ());
    } 2 .. 4;

    $sandbox->config(limits => {ip => $ip, partner => $partner,
                                window => $window, cooldown => $window});

    return {sandbox => $sandbox, nodes => \@nodes};
}

my $pass = <<'END';
            proxy_bind $address;
            proxy_set_header Authorization "Bearer sandbox-$http_x_tenant";
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_pass http://sandbox;
END

my $zones = <<"END";
    zapier_limit_zone ip      key=\$server_port limit=$ip window=${window}s
                              store=redis slack=200ms share=\$zapier_tenant;
    zapier_limit_zone partner key=all limit=$partner window=${window}s
                              store=redis slack=200ms share=\$zapier_tenant;
END

my $zapier = <<'END';
        zapier_tenant  $http_x_tenant;
        zapier_limit   ip partner;
        include        $params;
        proxy_bind     $address;
END

my $rate = int $ip * 60 / $window;
my $modules = '/usr/lib/nginx/modules';

my %kind = (
    bare   => nodes(server => "location / {\n$pass }"),
    req    => nodes(
        http => "limit_req_zone all zone=z:1m rate=${rate}r/m;",
        server => "limit_req zone=z burst=$ip nodelay; limit_req_status 429;
                   location / {\n$pass }"),
    lua    => nodes(
        main => "load_module $modules/ndk_http_module.so;
                 load_module $modules/ngx_http_lua_module.so;",
        http => "lua_shared_dict limits 1m;",
        server => "location / { access_by_lua_block {
            -- the usual estimate of a sliding window from two fixed ones
            local now, dict = ngx.now(), ngx.shared.limits
            local slot = math.floor(now / $window)
            local gone = now / $window - slot
            local used = (dict:get(slot - 1) or 0) * (1 - gone)
                         + dict:incr(slot, 1, 0, 2 * $window)
            if used > $ip then
                dict:incr(slot, -1)
                return ngx.exit(429)
            end
        }\n$pass }"),
    refuse => nodes(redis => 1, http => $zones,
                    server => "$zapier location / {
                               proxy_pass http://sandbox; }"),
    queue  => nodes(redis => 1, http => $zones,
                    server => "$zapier zapier_queue ${window}s;
                               location / { proxy_pass http://sandbox; }"),
);

# Ten times what the partner may, from clients of which each has a call under
# way at most

sub load {
    my ($nodes, $until) = @_;
    my $pause = 60 * $window / (10 * $partner);
    my ($select, @due, %by, %seen) = (IO::Select->new);

    for my $i (0 .. 59) {
        my $client = client($nodes->[$i % 3]);

        $client->{tenant} = 't' . (1 + $i % 20);
        push @due, [time + rand $pause, $client];
    }

    while (time < $until) {

        # without handles select does not wait

        sleep 0.005 if !$select->count;

        for my $socket ($select->can_read(0.005)) {
            my $client = delete $by{$socket};

            $select->remove($socket);
            $seen{$client->read->{status}}++;
            push @due, [time + $pause, $client];
        }

        @due = sort { $a->[0] <=> $b->[0] } @due;

        while (@due && $due[0][0] <= time) {
            my $client = (shift @due)->[1];

            $client->send("GET /v2/actions HTTP/1.1\r\nHost: x\r\n"
                          . "X-Tenant: $client->{tenant}\r\n\r\n") or next;
            $by{$client->{socket}} = $client;
            $select->add($client->{socket});
        }
    }

    return \%seen;
}

my %result;

for my $kind (sort keys %kind) {
    my %client = %{load($kind{$kind}{nodes}, time + $seconds)};
    my %upstream;

    $upstream{$_->{status} // 0}++ for $kind{$kind}{sandbox}->requests;

    $result{$kind} = {
        got => $client{200} // 0, told => $client{429} // 0,
        sent => ($upstream{200} // 0) + ($upstream{429} // 0),
        refused => $upstream{429} // 0,
    };
    note sprintf '%-7s got %5d, was refused %6d; the upstream saw %6d calls '
                 . 'and refused %6d', $kind,
                 @{$result{$kind}}{qw(got told sent refused)};
}

my $allowed = $partner * $seconds / $window;

for my $kind (qw(refuse queue)) {
    is $result{$kind}{refused}, 0, "$kind: the upstream refuses nothing";
    cmp_ok $result{$kind}{got}, '>=', 0.85 * $allowed,
        'and what it allows is used';
    is $result{$kind}{sent}, $result{$kind}{got}, 'nothing is sent in vain';
}

cmp_ok $result{$_}{refused}, '>', 0, "$_: it does"
    for qw(bare req lua);

done_testing();
