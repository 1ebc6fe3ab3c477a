# zapier_connect: wrong values and combinations stop "nginx -t" with a message
# that says what would be right.

use strict;
use warnings;

use lib 't/lib';
use File::Temp ();

my $secret;

BEGIN {
    $secret = File::Temp->new;
    print $secret "secret\n";
    close $secret;
    $ENV{TEST_NGINX_SECRET} = $secret->filename;
}

use Zapier 'no_plan';

run_tests();

__DATA__

=== TEST 1: zapier_connect says which of the two
--- config
    location = /c {
        zapier_connect both;
    }
--- must_die
--- error_log
invalid value "both" in "zapier_connect": "start" or "callback" is needed



=== TEST 2: zapier_connect without anything
--- config
    location = /c {
        zapier_connect;
    }
--- must_die
--- error_log
invalid number of arguments in "zapier_connect" directive



=== TEST 3: zapier_connect twice
--- config
    location = /c {
        zapier_connect callback;
        zapier_connect callback;
    }
--- must_die
--- error_log
"zapier_connect" directive is duplicate



=== TEST 4: start needs to know where to
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start redirect_uri=https://gw.example/cb;
    }
--- must_die
--- error_log
"zapier_connect" directive needs "authorize=URL" and "redirect_uri=URL" after "start"



=== TEST 5: and where from
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https://zapier.com/oauth/authorize/;
    }
--- must_die
--- error_log
"zapier_connect" directive needs "authorize=URL" and "redirect_uri=URL" after "start"



=== TEST 6: authorize= with no URL
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=/oauth/authorize redirect_uri=https://gw.example/cb;
    }
--- must_die
--- error_log
invalid value "authorize=/oauth/authorize" in "zapier_connect": a URL with https:// and without "#" is needed



=== TEST 7: authorize= with another scheme
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=ftp://a/ redirect_uri=https://gw.example/cb;
    }
--- must_die
--- error_log
invalid value "authorize=ftp://a/" in "zapier_connect": a URL with https:// and without "#" is needed



=== TEST 8: authorize= with no host
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https:///a redirect_uri=https://gw.example/cb;
    }
--- must_die
--- error_log
invalid value "authorize=https:///a" in "zapier_connect": a URL with https:// and without "#" is needed



=== TEST 9: authorize= with a blank
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start "authorize=https://a/ b" redirect_uri=https://gw.example/cb;
    }
--- must_die
--- error_log
invalid value "authorize=https://a/ b" in "zapier_connect": a URL with https:// and without "#" is needed



=== TEST 10: authorize= with a fragment
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https://a/#b redirect_uri=https://gw.example/cb;
    }
--- must_die
--- error_log
invalid value "authorize=https://a/#b" in "zapier_connect": a URL with https:// and without "#" is needed



=== TEST 11: an empty authorize=
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize= redirect_uri=https://gw.example/cb;
    }
--- must_die
--- error_log
invalid value "authorize=" in "zapier_connect": it must not be empty



=== TEST 12: authorize= twice
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https://zapier.com/oauth/authorize/ authorize=https://zapier.com/oauth/authorize/ redirect_uri=https://gw.example/cb;
    }
--- must_die
--- error_log
invalid value "authorize=https://zapier.com/oauth/authorize/" in "zapier_connect": it is there twice



=== TEST 13: redirect_uri= with a path
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https://zapier.com/oauth/authorize/ redirect_uri=/cb;
    }
--- must_die
--- error_log
invalid value "redirect_uri=/cb" in "zapier_connect": a URL with https:// and without "#" is needed



=== TEST 14: a long redirect_uri=
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https://zapier.com/oauth/authorize/ redirect_uri=https://gw.example/cbxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx;
    }
--- must_die
--- error_log
xxx" in "zapier_connect": at most 512 bytes are taken



=== TEST 15: pkce= is on or off
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https://zapier.com/oauth/authorize/ redirect_uri=https://gw.example/cb pkce=plain;
    }
--- must_die
--- error_log
invalid value "pkce=plain" in "zapier_connect": "pkce=on" or "pkce=off" is needed



=== TEST 16: pkce= twice
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https://zapier.com/oauth/authorize/ redirect_uri=https://gw.example/cb pkce=on pkce=off;
    }
--- must_die
--- error_log
invalid value "pkce=off" in "zapier_connect": it is there twice



=== TEST 17: expires= is a time
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https://zapier.com/oauth/authorize/ redirect_uri=https://gw.example/cb expires=soon;
    }
--- must_die
--- error_log
invalid value "expires=soon" in "zapier_connect": a time from 1s to 1d is needed



=== TEST 18: of some length
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https://zapier.com/oauth/authorize/ redirect_uri=https://gw.example/cb expires=0;
    }
--- must_die
--- error_log
invalid value "expires=0" in "zapier_connect": a time from 1s to 1d is needed



=== TEST 19: but not too long
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https://zapier.com/oauth/authorize/ redirect_uri=https://gw.example/cb expires=25h;
    }
--- must_die
--- error_log
invalid value "expires=25h" in "zapier_connect": a time from 1s to 1d is needed



=== TEST 20: expires= twice
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https://zapier.com/oauth/authorize/ redirect_uri=https://gw.example/cb expires=1m expires=2m;
    }
--- must_die
--- error_log
invalid value "expires=2m" in "zapier_connect": it is there twice



=== TEST 21: what start does not know
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https://zapier.com/oauth/authorize/ redirect_uri=https://gw.example/cb success=/;
    }
--- must_die
--- error_log
invalid value "success=/" in "zapier_connect": "authorize=", "redirect_uri=", "scope=", "pkce=" or "expires=" is needed after "start"



=== TEST 22: what callback does not know
--- config
    location = /c {
        zapier_connect callback pkce=on;
    }
--- must_die
--- error_log
invalid value "pkce=on" in "zapier_connect": "success=" or "error=" is needed after "callback"



=== TEST 23: success= with a host and no scheme
--- config
    location = /c {
        zapier_connect callback success=//evil.example/;
    }
--- must_die
--- error_log
invalid value "success=//evil.example/" in "zapier_connect": a path or a URL with https:// is needed



=== TEST 24: error= with a script
--- config
    location = /c {
        zapier_connect callback error=javascript:x;
    }
--- must_die
--- error_log
invalid value "error=javascript:x" in "zapier_connect": a path or a URL with https:// is needed



=== TEST 25: start needs a tenant
--- http_config
    zapier_oauth_client id $TEST_NGINX_SECRET;
    zapier_oauth_token /token;
--- config
    location = /c {
        zapier_connect start authorize=https://zapier.com/oauth/authorize/ redirect_uri=https://gw.example/cb;
    }
--- must_die
--- error_log
"zapier_connect start" needs "zapier_tenant", which says whose account is connected, in the same location or around it



=== TEST 26: what sends requests has no effect
--- http_config
    zapier_oauth_client id $TEST_NGINX_SECRET;
    zapier_oauth_token /token;
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https://zapier.com/oauth/authorize/ redirect_uri=https://gw.example/cb;
        zapier_scope zap;
    }
--- must_die
--- error_log
"zapier_connect start" needs no "zapier_body", "zapier_scope", "zapier_limit" or "zapier_retry" in the same location, they have no effect there



=== TEST 27: zapier_connect needs a client
--- config
    location = /c {
        zapier_connect callback;
    }
--- must_die
--- error_log
"zapier_connect" needs "zapier_oauth_client ID SECRET_FILE" and "zapier_oauth_token URI" in the http block



=== TEST 28: and Redis
--- http_config
    # what supplies zapier_redis looks only for its name in a line
    log_format  none  '
    zapier_redis is missing';
    zapier_oauth_client id $TEST_NGINX_SECRET;
    zapier_oauth_token /token;
--- config
    location = /c {
        zapier_connect callback;
    }
--- must_die
--- error_log
"zapier_connect" is used, but there is no "zapier_redis" in the http block



=== TEST 29: a redirect_uri without https
--- http_config
    zapier_oauth_client id $TEST_NGINX_SECRET;
    zapier_oauth_token /token;
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https://zapier.com/oauth/authorize/ redirect_uri=http://gw.example/cb;
    }
--- request
GET /c
--- error_code: 302
--- error_log
"redirect_uri=http://gw.example/cb" of "zapier_connect" is not https: codes and cookies can be read on their way



=== TEST 30: but on this machine it is a test
--- http_config
    zapier_oauth_client id $TEST_NGINX_SECRET;
    zapier_oauth_token /token;
--- config
    location = /c {
        zapier_tenant acme;
        zapier_connect start authorize=https://zapier.com/oauth/authorize/ redirect_uri=http://127.0.0.1:8080/cb;
    }
--- request
GET /c
--- error_code: 302
--- no_error_log
is not https



=== TEST 31: a tenant of the server, all there is to say
--- http_config
    zapier_tenant acme;
    zapier_oauth_client id $TEST_NGINX_SECRET;
    zapier_oauth_token /token;
--- config
    location = /c {
        zapier_connect callback success=/done error=https://app.example/e#f;
    }
--- request
GET /c
--- error_code: 302
--- response_headers
Location: https://app.example/e?error=invalid_request#f
