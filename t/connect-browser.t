# zapier_connect with a browser: what a user sees and clicks, and what the
# browser makes of the cookie.

use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use Zapier::Browser;
use ZapierNode;

plan skip_all => 'no chromium' if !Zapier::Browser->there;

my $redis   = redis();
my $sandbox = sandbox();
my $dir     = $redis->dir;
my $tls     = free_port();
my $port    = free_port();

open my $file, '>', "$dir/client.secret" or die $!;
print $file "sandbox-secret\n";
close $file;

system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
       . "-keyout $dir/key.pem -out $dir/cert.pem > $dir/openssl.log 2>&1") == 0
    or die Zapier::Process::slurp("$dir/openssl.log");

# the session of an application: who is signed in

my $start = 'zapier_tenant $cookie_session; zapier_connect start'
          . ' "scope=zap action:run"';
my $at    = 'http://127.0.0.1:' . $sandbox->port . '/oauth/authorize/';
my $cross = 'http://localhost:' . $sandbox->port . '/oauth/authorize/';

my $node = Zapier::Nginx->new(
    port => $port, redis => $redis, sandbox => $sandbox, workers => 2,
    http => "zapier_oauth_client sandbox-client $dir/client.secret;"
          . 'zapier_oauth_token /oauth/token;'
          . "ssl_certificate $dir/cert.pem; ssl_certificate_key $dir/key.pem;",
    server => <<"END")->start;
        listen 127.0.0.1:$tls ssl;

        location = /oauth/token {
            internal;
            proxy_pass     http://sandbox/oauth/token/;
        }
        location = /login {
            add_header     Set-Cookie "session=\$arg_who; Path=/";
            default_type   text/html;
            return 200     '<title>x</title><h1>Settings</h1>
                            <a id="connect" href="/connect">Connect</a>';
        }
        location = /connect {
            $start authorize=$at
                   redirect_uri=http://127.0.0.1:$port/connect/callback;
        }
        location = /secure {
            $start authorize=$at
                   redirect_uri=https://localhost:$tls/done;
        }
        location = /cross {
            $start authorize=$cross
                   redirect_uri=http://127.0.0.1:$port/connect/callback;
        }
        location = /connect/callback {
            zapier_connect callback;
        }
        location = /done {
            zapier_connect callback success=/app?for=\$zapier_tenant
                           error=/app#top;
        }
        location = /app {
            default_type   text/html;
            return 200     '<h1>App</h1><p id="args">\$args</p>';
        }
END

my $browser = Zapier::Browser->new->start;
my $site    = "http://127.0.0.1:$port";


sub login {
    my ($who, $base) = @_;
    my $page = $browser->page->go(($base // $site) . "/login?who=$who");

    $page->wait_for('#connect') or diag $page->url;
    return $page;
}


# Clicks on a button of the consent page once it is there.

sub decide {
    my ($page, $button) = @_;

    ok $page->wait_for($button), 'the consent page' or diag $page->url;
    $page->click($button);
}


sub ends {
    my ($page, $selector, $text, $name) = @_;

    ok $page->wait_for($selector, qr/^$text\z/), $name
        or diag $page->url . ': ' . ($page->text('body') // '');
}


sub version { $redis->cmd(HGET => "zapier:token:{$_[0]}", 'version') // 0 }
sub ours { grep { $_->{name} =~ /zapier_connect/ } $_[0]->cookies }


# allowed

my $page = login('ann');

$page->click('#connect');
ok $page->wait_for('#allow'), 'a click leads to the consent page';
like $page->url, qr/^\Q$at\E\?/, 'of the sandbox';
is $page->text('#client'), 'sandbox-client', 'for the right client';
like $page->text('#scopes'), qr/zap\s+action:run/, 'with the scopes';

my ($cookie) = ours($page);

is $cookie->{name}, 'zapier_connect', 'the browser has the cookie';
ok $cookie->{httpOnly}, 'which no script sees';
is $cookie->{sameSite}, 'Lax', 'which other sites do not use';
is $cookie->{domain}, '127.0.0.1', 'for this host';
ok abs($cookie->{expires} - time - 600) < 30, 'for ten minutes';

$page->click('#allow');
ends($page, '#tenant', 'ann', 'Allow connects');
is $page->text('h1'), 'Connected to Zapier', 'and says so';
is version('ann'), 1, 'the record is there';
is $page->eval('document.cookie'), 'session=ann', 'scripts do not see it';

$page->reload;
ends($page, '#error', 'state_used', 'a reload does no harm');
is version('ann'), 1, 'the record stays';

# denied

$page->go("$site/connect");
decide($page, '#deny');
ends($page, '#error', 'access_denied', 'Deny does not connect');
is version('ann'), 1, 'the record stays';

# two tabs

$page->go("$site/connect");

my $tab = $page->tab->go("$site/connect");

decide($page, '#allow');
ends($page, '#tenant', 'ann', 'the older of two tabs');
decide($tab, '#allow');
ends($tab, '#tenant', 'ann', 'and the newer one');
is version('ann'), 3, 'have both connected';

# a link that somebody else has begun

my $eve = login('eve')->go("$site/connect");

ok $eve->wait_for('#allow'), 'somebody begins';

my $link = $eve->url;

$page->go($link);
decide($page, '#allow');
ends($page, '#error', 'state_mismatch', 'and sends the link to somebody else');
is version('eve'), 0, 'who does not connect for him';

$page = login('bob')->go($link);
decide($page, '#allow');
ends($page, '#error', 'state_mismatch', 'without a cookie, too');
is version('eve'), 0, 'nothing';

# an authorize URL of another site, as it is in life

$page = login('cid')->go("$site/cross");
decide($page, '#allow');
ends($page, '#tenant', 'cid', 'from another site the cookie comes along');

# https

my $secure = "https://localhost:$tls";

$page = login('dan', $secure)->go("$secure/secure");
decide($page, '#allow');
ends($page, '#args', 'for=dan', 'with https, to success=');
is $page->url, "$secure/app?for=dan", 'at the right place';
($cookie) = ours($page);
is $cookie->{name}, '__Host-zapier_connect', 'the browser takes the prefix';
ok $cookie->{secure}, 'of a secure cookie';
is version('dan'), 1, 'the record is there';

$page->go("$secure/secure");
decide($page, '#deny');
ends($page, '#args', 'error=access_denied', 'and to error=');
is $page->url, "$secure/app?error=access_denied#top", 'at the right place';

# nobody is signed in

$page = $browser->page->go("$site/connect");
ends($page, '#error', 'tenant_missing', 'nobody is signed in');

# in a frame

sub framed {
    my ($url) = @_;
    my $page = login('fay');

    $page->eval(qq{document.body.innerHTML = '<iframe src="$url"'
        + ' onload="this.id = \\'loaded\\'"></iframe>'});
    ok $page->wait_for('#loaded'), "a frame for $url";

    return $page->eval('frames[0].document.querySelector("h1").textContent');
}

is framed("$site/app"), 'App', 'another page can be seen in it';
is framed("$site/connect/callback"), undef, 'but none of ours';

ok $browser->stop, 'the browser ends';
is_deeply [$node->complaints], [], 'nothing grave in the log';

done_testing();
