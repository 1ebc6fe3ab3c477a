# Each wrong directive, value and combination stops "nginx -t" with a message
# that names the directive, the value and what would be right.

use strict;
use warnings;

use lib 't/lib';
use Zapier 'no_plan';

run_tests();

__DATA__

=== TEST 1: zapier_zone needs a size
--- http_config
    zapier_zone zapier big;
--- must_die
--- error_log
invalid value "big" in "zapier_zone": a size such as 16m is needed

=== TEST 2: zapier_zone too small
--- http_config
    zapier_zone zapier 64k;
--- must_die
--- error_log
invalid value "64k" in "zapier_zone": at least 256k is needed

=== TEST 3: zapier_zone with a negative size
--- http_config
    zapier_zone zapier -1m;
--- must_die
--- error_log
invalid value "-1m" in "zapier_zone"

=== TEST 4: zapier_zone twice
--- http_config
    zapier_zone zapier 1m;
    zapier_zone other 1m;
--- must_die
--- error_log
"zapier_zone" directive is duplicate

=== TEST 5: zapier_zone without a size
--- http_config
    zapier_zone zapier;
--- must_die
--- error_log
invalid number of arguments in "zapier_zone" directive

=== TEST 6: zapier_zone has the name of a zone of another module
--- http_config
    limit_req_zone $binary_remote_addr zone=shared:1m rate=1r/s;
    zapier_zone shared 1m;
--- must_die
--- error_log
shared

=== TEST 7: zapier_zone in a server
--- config
    zapier_zone zapier 1m;
--- must_die
--- error_log
"zapier_zone" directive is not allowed here

=== TEST 8: zapier_redis is missing
--- http_config
    # what supplies zapier_redis looks only for its name in a line
    log_format  none  '
    zapier_redis is missing';
--- must_die
--- error_log
"zapier_tenant" is used, but there is no "zapier_redis" in the http block
add, for example, "zapier_redis redis://127.0.0.1:6379;"

=== TEST 9: zapier_redis twice
--- http_config
    zapier_redis redis://127.0.0.1;
    zapier_redis redis://127.0.0.1;
--- must_die
--- error_log
"zapier_redis" directive is duplicate

=== TEST 10: zapier_redis http://127.0.0.1:6379
--- http_config
    zapier_redis http://127.0.0.1:6379;
--- must_die
--- error_log
invalid URL "http://127.0.0.1:6379" of "zapier_redis": unknown scheme, it must be "redis://HOST[:PORT][/DB]", "rediss://HOST[:PORT][/DB]", "unix:/PATH[?db=DB]", "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "redis+cluster://HOST[:PORT],..."

=== TEST 11: zapier_redis 127.0.0.1:6379
--- http_config
    zapier_redis 127.0.0.1:6379;
--- must_die
--- error_log
invalid URL "127.0.0.1:6379" of "zapier_redis": unknown scheme, it must be "redis://HOST[:PORT][/DB]", "rediss://HOST[:PORT][/DB]", "unix:/PATH[?db=DB]", "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "redis+cluster://HOST[:PORT],..."

=== TEST 12: zapier_redis redis+sentinel://127.0.0.1/master
--- http_config
    zapier_redis redis+nonsense://127.0.0.1/master;
--- must_die
--- error_log
invalid URL "redis+nonsense://127.0.0.1/master" of "zapier_redis": unknown scheme, it must be "redis://HOST[:PORT][/DB]", "rediss://HOST[:PORT][/DB]", "unix:/PATH[?db=DB]", "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "redis+cluster://HOST[:PORT],..."

=== TEST 13: zapier_redis redis://
--- http_config
    zapier_redis redis://;
--- must_die
--- error_log
invalid URL "redis://" of "zapier_redis": no host, it must be "redis://HOST[:PORT][/DB]", "rediss://HOST[:PORT][/DB]", "unix:/PATH[?db=DB]", "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "redis+cluster://HOST[:PORT],..."

=== TEST 14: zapier_redis redis://127.0.0.1:70000
--- http_config
    zapier_redis redis://127.0.0.1:70000;
--- must_die
--- error_log
invalid URL "redis://127.0.0.1:70000" of "zapier_redis": invalid port, it must be "redis://HOST[:PORT][/DB]", "rediss://HOST[:PORT][/DB]", "unix:/PATH[?db=DB]", "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "redis+cluster://HOST[:PORT],..."

=== TEST 15: zapier_redis redis://127.0.0.1:6379/first
--- http_config
    zapier_redis redis://127.0.0.1:6379/first;
--- must_die
--- error_log
invalid URL "redis://127.0.0.1:6379/first" of "zapier_redis": the database is not a number, it must be "redis://HOST[:PORT][/DB]", "rediss://HOST[:PORT][/DB]", "unix:/PATH[?db=DB]", "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "redis+cluster://HOST[:PORT],..."

=== TEST 16: zapier_redis redis://127.0.0.1:6379/-1
--- http_config
    zapier_redis redis://127.0.0.1:6379/-1;
--- must_die
--- error_log
invalid URL "redis://127.0.0.1:6379/-1" of "zapier_redis": the database is not a number, it must be "redis://HOST[:PORT][/DB]", "rediss://HOST[:PORT][/DB]", "unix:/PATH[?db=DB]", "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "redis+cluster://HOST[:PORT],..."

=== TEST 17: zapier_redis redis://127.0.0.1?db=1
--- http_config
    zapier_redis redis://127.0.0.1?db=1;
--- must_die
--- error_log
invalid URL "redis://127.0.0.1?db=1" of "zapier_redis": unexpected character, it must be "redis://HOST[:PORT][/DB]", "rediss://HOST[:PORT][/DB]", "unix:/PATH[?db=DB]", "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "redis+cluster://HOST[:PORT],..."

=== TEST 18: zapier_redis unix:redis.sock
--- http_config
    zapier_redis unix:redis.sock;
--- must_die
--- error_log
invalid URL "unix:redis.sock" of "zapier_redis": the path is not absolute, it must be "redis://HOST[:PORT][/DB]", "rediss://HOST[:PORT][/DB]", "unix:/PATH[?db=DB]", "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "redis+cluster://HOST[:PORT],..."

=== TEST 19: zapier_redis unix:/tmp/redis.sock?base=1
--- http_config
    zapier_redis unix:/tmp/redis.sock?base=1;
--- must_die
--- error_log
invalid URL "unix:/tmp/redis.sock?base=1" of "zapier_redis": unknown parameter, it must be "redis://HOST[:PORT][/DB]", "rediss://HOST[:PORT][/DB]", "unix:/PATH[?db=DB]", "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "redis+cluster://HOST[:PORT],..."

=== TEST 20: zapier_redis unix:/xxx...
--- http_config
    zapier_redis unix:/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx;
--- must_die
--- error_log
invalid URL "unix:/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" of "zapier_redis": the path is too long, it must be "redis://HOST[:PORT][/DB]", "rediss://HOST[:PORT][/DB]", "unix:/PATH[?db=DB]", "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "redis+cluster://HOST[:PORT],..."

=== TEST 21: zapier_redis with a host that does not exist
--- http_config
    zapier_redis redis://no-such-host.invalid;
--- must_die
--- error_log
"no-such-host.invalid" of "zapier_redis redis://no-such-host.invalid"; with "resolver" it may be resolved later

=== TEST 22: zapier_redis with a password in the URL, which is not logged
--- http_config
    zapier_redis redis://gateway:hunter2@127.0.0.1:6379;
--- must_die
--- error_log
the URL of "zapier_redis" must not contain user and password, write "user=NAME" and "password_file=FILE" after it
--- no_error_log
hunter2

=== TEST 23: zapier_redis timeout=0
--- http_config
    zapier_redis redis://127.0.0.1 timeout=0;
--- must_die
--- error_log
invalid value "timeout=0" in "zapier_redis": a time from 1ms to 60s is needed

=== TEST 24: zapier_redis timeout=61s
--- http_config
    zapier_redis redis://127.0.0.1 timeout=61s;
--- must_die
--- error_log
invalid value "timeout=61s" in "zapier_redis": a time from 1ms to 60s is needed

=== TEST 25: zapier_redis timeout=soon
--- http_config
    zapier_redis redis://127.0.0.1 timeout=soon;
--- must_die
--- error_log
invalid value "timeout=soon" in "zapier_redis": a time from 1ms to 60s is needed

=== TEST 26: zapier_redis timeout=
--- http_config
    zapier_redis redis://127.0.0.1 timeout=;
--- must_die
--- error_log
invalid value "timeout=" in "zapier_redis": a time from 1ms to 60s is needed

=== TEST 27: zapier_redis connections=0
--- http_config
    zapier_redis redis://127.0.0.1 connections=0;
--- must_die
--- error_log
invalid value "connections=0" in "zapier_redis": a number from 1 to 64 is needed

=== TEST 28: zapier_redis connections=65
--- http_config
    zapier_redis redis://127.0.0.1 connections=65;
--- must_die
--- error_log
invalid value "connections=65" in "zapier_redis": a number from 1 to 64 is needed

=== TEST 29: zapier_redis connections=two
--- http_config
    zapier_redis redis://127.0.0.1 connections=two;
--- must_die
--- error_log
invalid value "connections=two" in "zapier_redis": a number from 1 to 64 is needed

=== TEST 30: zapier_redis prefix=a{b}
--- http_config
    zapier_redis redis://127.0.0.1 "prefix=a{b}";
--- must_die
--- error_log
invalid value "prefix=a{b}" in "zapier_redis": at most 64 bytes without braces

=== TEST 31: zapier_redis prefix= of 65 bytes
--- http_config
    zapier_redis redis://127.0.0.1 prefix=ppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp;
--- must_die
--- error_log
invalid value "prefix=ppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp" in "zapier_redis": at most 64 bytes without braces

=== TEST 32: zapier_redis user=
--- http_config
    zapier_redis redis://127.0.0.1 user=;
--- must_die
--- error_log
invalid value "user=" in "zapier_redis": "timeout=", "connections=", "prefix=", "user=" or "password_file=" is needed

=== TEST 33: zapier_redis password_file=
--- http_config
    zapier_redis redis://127.0.0.1 password_file=;
--- must_die
--- error_log
invalid value "password_file=" in "zapier_redis": "timeout=", "connections=", "prefix=", "user=" or "password_file=" is needed

=== TEST 34: zapier_redis password=, which is not logged
--- http_config
    zapier_redis redis://127.0.0.1 password=hunter3;
--- must_die
--- error_log
"zapier_redis" knows no "password=", write "password_file=FILE"
--- no_error_log
hunter3

=== TEST 35: zapier_redis user= without password_file=
--- http_config
    zapier_redis redis://127.0.0.1 user=gateway;
--- must_die
--- error_log
invalid value "gateway" in "zapier_redis": "user=" needs "password_file="

=== TEST 36: zapier_redis with a password file that is not there
--- http_config
    zapier_redis redis://127.0.0.1 password_file=/no/such.password;
--- must_die
--- error_log
open() "/no/such.password" of "password_file=" of "zapier_redis" failed

=== TEST 37: zapier_redis with an empty password file
--- http_config
    zapier_redis redis://127.0.0.1 password_file=$TEST_NGINX_SERVROOT/html/empty;
--- user_files
>>> empty
--- must_die
--- error_log
/empty" of "password_file=" of "zapier_redis" is empty, it must hold the password in one line

=== TEST 38: zapier_redis with a password file of several lines, which are not logged
--- http_config
    zapier_redis redis://127.0.0.1 password_file=$TEST_NGINX_SERVROOT/html/long;
--- user_files
>>> long
hunter4
hunter5
--- must_die
--- error_log
/long" of "password_file=" of "zapier_redis" is more than one line, it must hold the password in one line
--- no_error_log
hunter

=== TEST 39: zapier_redis_ssl_trusted_certificate without TLS
--- http_config
    zapier_redis redis://127.0.0.1;
    zapier_redis_ssl_trusted_certificate x;
--- must_die
--- error_log
"zapier_redis_ssl_trusted_certificate" is set but "zapier_redis redis://127.0.0.1" does not use TLS, write "rediss://"

=== TEST 40: zapier_redis_ssl_name without TLS
--- http_config
    zapier_redis redis://127.0.0.1;
    zapier_redis_ssl_name x;
--- must_die
--- error_log
"zapier_redis_ssl_name" is set but "zapier_redis redis://127.0.0.1" does not use TLS, write "rediss://"

=== TEST 41: zapier_redis_ssl_certificate without TLS
--- http_config
    zapier_redis redis://127.0.0.1;
    zapier_redis_ssl_certificate x;
--- must_die
--- error_log
"zapier_redis_ssl_certificate" is set but "zapier_redis redis://127.0.0.1" does not use TLS, write "rediss://"

=== TEST 42: zapier_redis_ssl_certificate_key without TLS
--- http_config
    zapier_redis redis://127.0.0.1;
    zapier_redis_ssl_certificate_key x;
--- must_die
--- error_log
"zapier_redis_ssl_certificate_key" is set but "zapier_redis redis://127.0.0.1" does not use TLS, write "rediss://"

=== TEST 43: zapier_redis_ssl_trusted_certificate that is not there
--- http_config
    zapier_redis rediss://127.0.0.1;
    zapier_redis_ssl_trusted_certificate /no/such.pem;
--- must_die
--- error_log
/no/such.pem

=== TEST 44: zapier_redis_ssl_certificate without its key
--- http_config
    zapier_redis rediss://127.0.0.1;
    zapier_redis_ssl_certificate /no/such.pem;
--- must_die
--- error_log
zapier_redis_ssl_certificate_key

=== TEST 45: zapier_redis_ssl_certificate_key without its certificate
--- http_config
    zapier_redis rediss://127.0.0.1;
    zapier_redis_ssl_certificate_key /no/such.pem;
--- must_die
--- error_log
zapier_redis_ssl_certificate

=== TEST 46: zapier_redis_ssl_verify with another word
--- http_config
    zapier_redis rediss://127.0.0.1;
    zapier_redis_ssl_verify yes;
--- must_die
--- error_log
invalid value "yes" in "zapier_redis_ssl_verify" directive, it must be "on" or "off"

=== TEST 47: zapier_tenant twice
--- config
    location / {
        zapier_tenant a;
        zapier_tenant b;
    }
--- must_die
--- error_log
"zapier_tenant" directive is duplicate

=== TEST 48: zapier_tenant without a value
--- config
    location / {
        zapier_tenant;
    }
--- must_die
--- error_log
invalid number of arguments in "zapier_tenant" directive

=== TEST 49: zapier_tenant of a variable that is not there
--- config
    location / {
        zapier_tenant $no_such_variable;
    }
--- must_die
--- error_log
unknown "no_such_variable" variable

=== TEST 50: zapier_body with another word
--- config
    location / {
        zapier_body on;
    }
--- must_die
--- error_log
invalid value "on" in "zapier_body": "off", "action_run" or "action_runs" is needed

=== TEST 51: zapier_body twice
--- config
    location / {
        zapier_body off;
        zapier_body action_run;
    }
--- must_die
--- error_log
"zapier_body" directive is duplicate

=== TEST 52: zapier_body max= without a size
--- config
    location / {
        zapier_body action_run max=lots;
    }
--- must_die
--- error_log
invalid value "max=lots" in "zapier_body": a size such as 1m is needed

=== TEST 53: zapier_body max=0
--- config
    location / {
        zapier_body action_run max=0;
    }
--- must_die
--- error_log
invalid value "max=0" in "zapier_body": a size such as 1m is needed

=== TEST 54: zapier_body with an unknown parameter
--- config
    location / {
        zapier_body action_run min=1k;
    }
--- must_die
--- error_log
invalid value "min=1k" in "zapier_body": only "max=" after "action_run" is known

=== TEST 55: zapier_body off with max=
--- config
    location / {
        zapier_body off max=1m;
    }
--- must_die
--- error_log
invalid value "max=1m" in "zapier_body": only "max=" after "action_run" is known

=== TEST 56: zapier_body in http
--- http_config
    zapier_body action_run;
--- must_die
--- error_log
"zapier_body" directive is not allowed here

=== TEST 57: zapier_action without zapier_body action_run
--- config
    location / {
        zapier_action core:a;
    }
--- must_die
--- error_log
"zapier_action" "core:a" has no effect, it needs "zapier_body action_run" in the same location

=== TEST 58: zapier_action twice
--- config
    location / {
        zapier_body action_run;
        zapier_action a;
        zapier_action b;
    }
--- must_die
--- error_log
"zapier_action" directive is duplicate

=== TEST 59: zapier_action in a server
--- config
    zapier_action a;
--- must_die
--- error_log
"zapier_action" directive is not allowed here

=== TEST 60: zapier_authentication without zapier_body action_run
--- config
    location / {
        zapier_authentication core:a;
    }
--- must_die
--- error_log
"zapier_authentication" "core:a" has no effect, it needs "zapier_body action_run" in the same location

=== TEST 61: zapier_authentication twice
--- config
    location / {
        zapier_body action_run;
        zapier_authentication a;
        zapier_authentication b;
    }
--- must_die
--- error_log
"zapier_authentication" directive is duplicate

=== TEST 62: zapier_authentication in a server
--- config
    zapier_authentication a;
--- must_die
--- error_log
"zapier_authentication" directive is not allowed here

=== TEST 63: zapier_scope with two names
--- config
    location / {
        zapier_scope "action:run zap";
    }
--- must_die
--- error_log
invalid value "action:run zap" in "zapier_scope": one scope name is needed, such as action:run

=== TEST 64: zapier_scope of nothing
--- config
    location / {
        zapier_scope "";
    }
--- must_die
--- error_log
invalid value "" in "zapier_scope": one scope name is needed

=== TEST 65: zapier_scope twice
--- config
    location / {
        zapier_scope a;
        zapier_scope b;
    }
--- must_die
--- error_log
"zapier_scope" directive is duplicate

=== TEST 66: zapier_token_cache without a time
--- http_config
    zapier_token_cache often;
--- must_die
--- error_log
invalid value "often" in "zapier_token_cache": a time such as 60s is needed

=== TEST 67: zapier_token_cache twice
--- http_config
    zapier_token_cache 1s;
    zapier_token_cache 2s;
--- must_die
--- error_log
"zapier_token_cache" directive is duplicate

=== TEST 68: zapier_token_missing_cache without a time
--- http_config
    zapier_token_missing_cache often;
--- must_die
--- error_log
invalid value "often" in "zapier_token_missing_cache": a time such as 60s is needed

=== TEST 69: zapier_token_missing_cache twice
--- http_config
    zapier_token_missing_cache 1s;
    zapier_token_missing_cache 2s;
--- must_die
--- error_log
"zapier_token_missing_cache" directive is duplicate

=== TEST 70: zapier_limit_zone limit=0 window=1s
--- http_config
    zapier_limit_zone z key=a limit=0 window=1s;
--- must_die
--- error_log
invalid value "limit=0" in "zapier_limit_zone": a number from 1 to 1000000000 is needed

=== TEST 71: zapier_limit_zone limit=many window=1s
--- http_config
    zapier_limit_zone z key=a limit=many window=1s;
--- must_die
--- error_log
invalid value "limit=many" in "zapier_limit_zone": a number from 1 to 1000000000 is needed

=== TEST 72: zapier_limit_zone limit=1000000001 window=1s
--- http_config
    zapier_limit_zone z key=a limit=1000000001 window=1s;
--- must_die
--- error_log
invalid value "limit=1000000001" in "zapier_limit_zone": a number from 1 to 1000000000 is needed

=== TEST 73: zapier_limit_zone limit=-1 window=1s
--- http_config
    zapier_limit_zone z key=a limit=-1 window=1s;
--- must_die
--- error_log
invalid value "limit=-1" in "zapier_limit_zone": a number from 1 to 1000000000 is needed

=== TEST 74: zapier_limit_zone limit=1 window=0
--- http_config
    zapier_limit_zone z key=a limit=1 window=0;
--- must_die
--- error_log
invalid value "window=0" in "zapier_limit_zone": a time from 1ms to 1d is needed

=== TEST 75: zapier_limit_zone limit=1 window=2d
--- http_config
    zapier_limit_zone z key=a limit=1 window=2d;
--- must_die
--- error_log
invalid value "window=2d" in "zapier_limit_zone": a time from 1ms to 1d is needed

=== TEST 76: zapier_limit_zone limit=1 window=1x
--- http_config
    zapier_limit_zone z key=a limit=1 window=1x;
--- must_die
--- error_log
invalid value "window=1x" in "zapier_limit_zone": a time from 1ms to 1d is needed

=== TEST 77: zapier_limit_zone cooldown=0
--- http_config
    zapier_limit_zone z key=a cooldown=0;
--- must_die
--- error_log
invalid value "cooldown=0" in "zapier_limit_zone": a time from 1ms to 1d is needed

=== TEST 78: zapier_limit_zone cooldown=2d
--- http_config
    zapier_limit_zone z key=a cooldown=2d;
--- must_die
--- error_log
invalid value "cooldown=2d" in "zapier_limit_zone": a time from 1ms to 1d is needed

=== TEST 79: zapier_limit_zone mirror=yes
--- http_config
    zapier_limit_zone z key=a mirror=yes;
--- must_die
--- error_log
invalid value "mirror=yes" in "zapier_limit_zone": "key=", "limit=", "window=", "mirror=on|off", "cooldown=", "weight=", "share=", "share_weight=", "slack=" or "store=local|redis" is needed

=== TEST 80: zapier_limit_zone weight=
--- http_config
    zapier_limit_zone z key=a weight=;
--- must_die
--- error_log
invalid value "weight=" in "zapier_limit_zone": "key=", "limit=", "window=", "mirror=on|off", "cooldown=", "weight=", "share=", "share_weight=", "slack=" or "store=local|redis" is needed

=== TEST 81: zapier_limit_zone key=
--- http_config
    zapier_limit_zone z key=a key=;
--- must_die
--- error_log
invalid value "key=" in "zapier_limit_zone": "key=", "limit=", "window=", "mirror=on|off", "cooldown=", "weight=", "share=", "share_weight=", "slack=" or "store=local|redis" is needed

=== TEST 82: zapier_limit_zone rate=1r/s
--- http_config
    zapier_limit_zone z key=a rate=1r/s;
--- must_die
--- error_log
invalid value "rate=1r/s" in "zapier_limit_zone": "key=", "limit=", "window=", "mirror=on|off", "cooldown=", "weight=", "share=", "share_weight=", "slack=" or "store=local|redis" is needed

=== TEST 83: zapier_limit_zone store=disk
--- http_config
    zapier_limit_zone z key=a store=disk;
--- must_die
--- error_log
invalid value "store=disk" in "zapier_limit_zone": "key=", "limit=", "window=", "mirror=on|off", "cooldown=", "weight=", "share=", "share_weight=", "slack=" or "store=local|redis" is needed

=== TEST 84: zapier_limit_zone limit=1
--- http_config
    zapier_limit_zone z key=a limit=1;
--- must_die
--- error_log
invalid value "z" in "zapier_limit_zone": "limit=" and "window=" go together

=== TEST 85: zapier_limit_zone window=1s
--- http_config
    zapier_limit_zone z key=a window=1s;
--- must_die
--- error_log
invalid value "z" in "zapier_limit_zone": "limit=" and "window=" go together

=== TEST 86: zapier_limit_zone mirror=off
--- http_config
    zapier_limit_zone z key=a mirror=off;
--- must_die
--- error_log
invalid value "z" in "zapier_limit_zone": the zone limits nothing, it needs "limit=" or "mirror=on"

=== TEST 87: zapier_limit_zone without key=
--- http_config
    zapier_limit_zone z limit=1 window=1s;
--- must_die
--- error_log
invalid value "z" in "zapier_limit_zone": the zone needs "key="

=== TEST 88: zapier_limit_zone defined twice
--- http_config
    zapier_limit_zone z key=a;
    zapier_limit_zone z key=b;
--- must_die
--- error_log
invalid value "z" in "zapier_limit_zone": the zone is defined already

=== TEST 89: zapier_limit_zone with a name that is too long
--- http_config
    zapier_limit_zone zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz key=a;
--- must_die
--- error_log
" in "zapier_limit_zone": a name of 1 to 64 letters, digits, "_", "-" or "." is needed

=== TEST 90: zapier_limit_zone in a location
--- config
    location / {
        zapier_limit_zone z key=a;
    }
--- must_die
--- error_log
"zapier_limit_zone" directive is not allowed here

=== TEST 91: zapier_limit_zone with a key of a variable that is not there
--- http_config
    zapier_limit_zone z key=$no_such_variable;
--- must_die
--- error_log
unknown "no_such_variable" variable

=== TEST 92: zapier_limit of a zone that is not defined
--- config
    location / {
        zapier_tenant a;
        zapier_limit partner tenant;
    }
--- must_die
--- error_log
unknown zone "partner" in "zapier_limit" in 
define it by "zapier_limit_zone partner key=...;" in the http block

=== TEST 93: zapier_limit off and a zone
--- config
    location / {
        zapier_limit tenant off;
    }
--- must_die
--- error_log
invalid value "off" in "zapier_limit": "off" stands alone

=== TEST 94: zapier_limit with a zone twice
--- config
    location / {
        zapier_limit tenant tenant;
    }
--- must_die
--- error_log
invalid value "tenant" in "zapier_limit": the zone is in the chain twice

=== TEST 95: zapier_limit with nine zones
--- config
    location / {
        zapier_limit a b c d e f g h i;
    }
--- must_die
--- error_log
invalid value "i" in "zapier_limit": at most 8 zones make a chain

=== TEST 96: zapier_limit twice
--- config
    location / {
        zapier_limit tenant;
        zapier_limit off;
    }
--- must_die
--- error_log
"zapier_limit" directive is duplicate

=== TEST 97: zapier_limit_zone named off
--- http_config
    zapier_limit_zone off key=a;
--- must_die
--- error_log
invalid value "off" in "zapier_limit_zone": "zapier_limit off" has a meaning, another name is needed

=== TEST 98: zapier_scope in a location without zapier_tenant
--- config
    location / {
        zapier_scope action:run;
    }
--- must_die
--- error_log
"zapier_scope" "action:run" has no effect, it needs "zapier_tenant" in the same location

=== TEST 99: zapier_body in a location without zapier_tenant
--- config
    location / {
        zapier_body action_run;
    }
--- must_die
--- error_log
"zapier_body" "action_run" has no effect, it needs "zapier_tenant" in the same location

=== TEST 100: zapier_limit in a location without zapier_tenant
--- config
    location / {
        zapier_limit tenant;
    }
--- must_die
--- error_log
"zapier_limit" "tenant" has no effect, it needs "zapier_tenant" in the same location

=== TEST 101: the message of what is found late has the line of the directive
--- config eval
"\n" x 1000 . 'location / {' . "\n" x 10 . 'zapier_action core:a;'
. "\n" x 1000 . '}'
--- must_die
--- error_log eval
qr/"zapier_action" "core:a" has no effect, .* in \S+:10\d\d$/

=== TEST 102: what stands above may be meant for other locations
--- config
    zapier_limit  off;
    zapier_body   action_run  max=10m;

    location /v2/ {
        zapier_tenant  $http_x_tenant;
        include        $params;
        proxy_pass     http://sandbox;
    }

    location / {
        return 204;
    }
--- request
GET /
--- error_code: 204

=== TEST 103: zapier_limit with a tenant that is off
--- config
    zapier_tenant  $http_x_tenant;

    location / {
        zapier_tenant  off;
        zapier_limit   tenant;
    }
--- must_die
--- error_log
"zapier_limit" "tenant" has no effect, it needs "zapier_tenant" in the same location

=== TEST 104: zapier_limit off needs no tenant
--- config
    location / {
        zapier_limit off;
        return 204;
    }
--- request
GET /
--- error_code: 204

=== TEST 105: cooldown= of a zone that mirrors nothing
--- http_config
    zapier_limit_zone z key=a limit=1 window=1s cooldown=1s mirror=off;
--- must_die
--- error_log
invalid value "z" in "zapier_limit_zone": "cooldown=" has no effect with "mirror=off"

=== TEST 106: in any order
--- http_config
    zapier_limit_zone z mirror=off cooldown=60s key=a limit=1 window=1s;
--- must_die
--- error_log
"cooldown=" has no effect with "mirror=off"

=== TEST 107: zapier_tenant that names itself
--- config
    location / {
        zapier_tenant $zapier_tenant;
    }
--- must_die
--- error_log
invalid value "$zapier_tenant" in "zapier_tenant": $zapier_tenant is what this directive sets, another variable such as $http_x_tenant is needed

=== TEST 108: as a part, in the other spelling
--- http_config
    zapier_tenant $http_x_team.${zapier_tenant};
--- must_die
--- error_log
invalid value "$http_x_team.${zapier_tenant}" in "zapier_tenant"

=== TEST 109: but not one whose name only begins like that
--- config
    set $zapier_tenant_name acme;

    location / {
        zapier_tenant  $zapier_tenant_name;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
GET /v2/actions
--- error_code: 200

=== TEST 110: by way of another variable it is only seen at run time
--- http_config
    map $zapier_tenant $team {
        default  $zapier_tenant;
    }
--- config
    location / {
        zapier_tenant  $team;
        include        $params;
        proxy_pass     http://sandbox;
    }
--- request
GET /v2/actions
--- error_code: 401
--- response_body_like: "code":"tenant_missing"
--- sandbox_count: 0

=== TEST 111: zapier_tenant with a name that no tenant can have
--- config
    location / {
        zapier_tenant "a b";
    }
--- must_die
--- error_log
invalid value "a b" in "zapier_tenant": "off", a variable, or a name of 1 to 128 bytes of A-Z a-z 0-9 . _ @ : and - is needed

=== TEST 112: zapier_tenant with an empty name
--- config
    location / {
        zapier_tenant "";
    }
--- must_die
--- error_log
invalid value "" in "zapier_tenant"

=== TEST 113: zapier_retry with what it does not know
--- config
    location / {
        zapier_tenant  acme;
        zapier_retry   401 505;
    }
--- must_die
--- error_log
invalid value "505" in "zapier_retry": "401", "429", "500", "502", "503", "504", "connect", "deadline=" or "off" is needed

=== TEST 114: zapier_retry with the same twice
--- config
    location / {
        zapier_tenant  acme;
        zapier_retry   401 401;
    }
--- must_die
--- error_log
invalid value "401" in "zapier_retry": it is there twice

=== TEST 115: zapier_retry needs something that refreshes
--- config
    location / {
        zapier_tenant  acme;
        zapier_retry   401;
    }
--- must_die
--- error_log
"zapier_retry" "401" has no effect, it needs "zapier_oauth_token URI" in the http block

=== TEST 116: zapier_retry off needs nothing
--- config
    location / {
        zapier_retry   off;
        return         204;
    }
--- request
GET /
--- error_code: 204

=== TEST 117: zapier_auth of an unknown kind
--- config
    location / {
        zapier_tenant  acme;
        zapier_auth    anybody;
    }
--- must_die
--- error_log
invalid value "anybody" in "zapier_auth": "user", "app" or "client_id" is needed

=== TEST 118: zapier_auth user has no scope
--- config
    location / {
        zapier_tenant  acme;
        zapier_auth    user scope=a;
    }
--- must_die
--- error_log
invalid value "scope=a" in "zapier_auth": only "scope=" after "app" is known

=== TEST 119: zapier_auth app with a scope that is none
--- config
    location / {
        zapier_tenant  acme;
        zapier_auth    app "scope=a\"b";
    }
--- must_die
--- error_log
invalid value "scope=a"b" in "zapier_auth": scope names with spaces between them, 1024 bytes at most, are needed

=== TEST 120: zapier_auth app with an empty scope
--- config
    location / {
        zapier_tenant  acme;
        zapier_auth    app scope=;
    }
--- must_die
--- error_log
invalid value "scope=" in "zapier_auth"

=== TEST 121: zapier_auth app needs a client and an endpoint
--- config
    location / {
        zapier_tenant  acme;
        zapier_auth    app;
    }
--- must_die
--- error_log
needs "zapier_oauth_client ID SECRET_FILE" and "zapier_oauth_token URI" in the http block

=== TEST 122: zapier_auth client_id needs a client
--- config
    location / {
        zapier_tenant  acme;
        zapier_auth    client_id;
    }
--- must_die
--- error_log
needs "zapier_oauth_client ID" in the http block

=== TEST 123: zapier_auth client_id has no scope to be checked
--- http_config
    zapier_oauth_client id;
--- config
    location / {
        zapier_tenant  acme;
        zapier_auth    client_id;
        zapier_scope   zap;
    }
--- must_die
--- error_log
"zapier_scope" "zap" has no effect with "zapier_auth client_id"

=== TEST 124: zapier_oauth_token needs a secret
--- http_config
    zapier_oauth_client id;
    zapier_oauth_token  /token;
--- config
    location / {
        zapier_tenant  acme;
    }
--- must_die
--- error_log
"zapier_oauth_token" needs "zapier_oauth_client ID SECRET_FILE" in the http block

=== TEST 125: zapier_auth twice
--- config
    location / {
        zapier_tenant  acme;
        zapier_auth    user;
        zapier_auth    user;
    }
--- must_die
--- error_log
"zapier_auth" directive is duplicate

=== TEST 126: zapier_limit_zone slack= without limit=
--- http_config
    zapier_limit_zone z key=a store=redis slack=1s;
--- must_die
--- error_log
invalid value "z" in "zapier_limit_zone": "slack=" has no effect without "limit="

=== TEST 127: zapier_limit_zone slack=2m
--- http_config
    zapier_limit_zone z key=a limit=1 window=1s slack=2m;
--- must_die
--- error_log
invalid value "slack=2m" in "zapier_limit_zone": 0 or a time from 1ms to 1m is needed

=== TEST 128: zapier_limit_fallback shut
--- config
    zapier_limit_fallback shut;
--- must_die
--- error_log
invalid value "shut" in "zapier_limit_fallback": "local", "open" or "closed" is needed

=== TEST 129: zapier_limit_fallback local calls=1
--- config
    zapier_limit_fallback local calls=1;
--- must_die
--- error_log
invalid value "calls=1" in "zapier_limit_fallback": only "open" has parameters: "calls=" from 1 to 1000000000 and "time=" from 1ms to 1d

=== TEST 130: zapier_limit_fallback open calls=0
--- config
    zapier_limit_fallback open calls=0;
--- must_die
--- error_log
invalid value "calls=0" in "zapier_limit_fallback": only "open" has parameters: "calls=" from 1 to 1000000000 and "time=" from 1ms to 1d

=== TEST 131: zapier_limit_fallback twice
--- config
    zapier_limit_fallback open;
    zapier_limit_fallback closed;
--- must_die
--- error_log
"zapier_limit_fallback" directive is duplicate

=== TEST 132: zapier_dry_run maybe
--- config
    zapier_dry_run maybe;
--- must_die
--- error_log
invalid value "maybe" in "zapier_dry_run": "on", "off" or a percentage from 0% to 100% is needed

=== TEST 133: zapier_dry_run 101%
--- config
    zapier_dry_run 101%;
--- must_die
--- error_log
invalid value "101%" in "zapier_dry_run": "on", "off" or a percentage from 0% to 100% is needed

=== TEST 134: zapier_dry_run twice
--- config
    zapier_dry_run on;
    zapier_dry_run off;
--- must_die
--- error_log
"zapier_dry_run" directive is duplicate

=== TEST 135: zapier_queue 0
--- config
    zapier_queue 0;
--- must_die
--- error_log
invalid value "0" in "zapier_queue": "off" or a time from 1ms to 1h is needed

=== TEST 136: zapier_queue 2h
--- config
    zapier_queue 2h;
--- must_die
--- error_log
invalid value "2h" in "zapier_queue": "off" or a time from 1ms to 1h is needed

=== TEST 137: zapier_queue 1s max=0
--- config
    zapier_queue 1s max=0;
--- must_die
--- error_log
invalid value "max=0" in "zapier_queue": a number from 1 to 1000000 is needed

=== TEST 138: zapier_queue 1s min=1
--- config
    zapier_queue 1s min=1;
--- must_die
--- error_log
invalid value "min=1" in "zapier_queue": "max=" or "weight=" is needed

=== TEST 139: zapier_queue off max=1
--- config
    zapier_queue off max=1;
--- must_die
--- error_log
invalid value "max=1" in "zapier_queue": "off" stands alone

=== TEST 140: zapier_queue twice
--- config
    zapier_queue 1s;
    zapier_queue 2s;
--- must_die
--- error_log
"zapier_queue" directive is duplicate

=== TEST 141: zapier_limit_zone share= without limit=
--- http_config
    zapier_limit_zone z key=a share=$zapier_tenant;
--- must_die
--- error_log
invalid value "z" in "zapier_limit_zone": "share=" has no effect without "limit="

=== TEST 142: zapier_limit_zone share_weight= without share=
--- http_config
    zapier_limit_zone z key=a limit=1 window=1s share_weight=3;
--- must_die
--- error_log
invalid value "z" in "zapier_limit_zone": "share_weight=" has no effect without "share="

=== TEST 143: zapier_wait needs a time
--- config
    zapier_wait 2h;
--- must_die
--- error_log
invalid value "2h" in "zapier_wait": "off" or a time from 1ms to 1h is needed

=== TEST 144: zapier_wait with something else
--- config
    zapier_wait 3s every=1s;
--- must_die
--- error_log
invalid value "every=1s" in "zapier_wait": "interval=", "keep=" or "max=" is needed

=== TEST 145: zapier_wait interval=
--- config
    zapier_wait 3s interval=1ms;
--- must_die
--- error_log
invalid value "interval=1ms" in "zapier_wait": a time from 10ms to 60s is needed

=== TEST 146: zapier_wait keep=
--- config
    zapier_wait 3s keep=8d;
--- must_die
--- error_log
invalid value "keep=8d" in "zapier_wait": a time from 1ms to 7d is needed

=== TEST 147: zapier_wait max=
--- config
    zapier_wait 3s max=1m;
--- must_die
--- error_log
invalid value "max=1m" in "zapier_wait": a size from 1 to 1023k is needed

=== TEST 148: zapier_wait off max=1k
--- config
    zapier_wait off max=1k;
--- must_die
--- error_log
invalid value "max=1k" in "zapier_wait": "off" stands alone

=== TEST 149: zapier_wait twice
--- config
    zapier_wait 1s;
    zapier_wait 2s;
--- must_die
--- error_log
"zapier_wait" directive is duplicate

=== TEST 150: zapier_wait without a tenant
--- config
    location / {
        zapier_wait 1s;
    }
--- must_die
--- error_log
"zapier_wait" "1s" has no effect, it needs "zapier_tenant" in the same location

=== TEST 151: zapier_redis redis+sentinel, no master
--- http_config
    zapier_redis redis+sentinel://127.0.0.1;
--- must_die
--- error_log
invalid URL "redis+sentinel://127.0.0.1" of "zapier_redis": no name of the master, it must be "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "rediss+sentinel://HOST[:PORT],.../MASTER[/DB]"

=== TEST 152: zapier_redis redis+sentinel, a master's name with a colon
--- http_config
    zapier_redis redis+sentinel://127.0.0.1/a:b;
--- must_die
--- error_log
invalid URL "redis+sentinel://127.0.0.1/a:b" of "zapier_redis": the name of the master is not of "A-Za-z0-9.-_", it must be "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "rediss+sentinel://HOST[:PORT],.../MASTER[/DB]"

=== TEST 153: zapier_redis redis+sentinel, no sentinel
--- http_config
    zapier_redis redis+sentinel:///main;
--- must_die
--- error_log
invalid URL "redis+sentinel:///main" of "zapier_redis": no host, it must be "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "rediss+sentinel://HOST[:PORT],.../MASTER[/DB]"

=== TEST 154: zapier_redis redis+sentinel, an empty one between commas
--- http_config
    zapier_redis redis+sentinel://127.0.0.1,,127.0.0.2/main;
--- must_die
--- error_log
invalid URL "redis+sentinel://127.0.0.1,,127.0.0.2/main" of "zapier_redis": no host, it must be "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "rediss+sentinel://HOST[:PORT],.../MASTER[/DB]"

=== TEST 155: zapier_redis redis+sentinel, a database that is no number
--- http_config
    zapier_redis redis+sentinel://127.0.0.1/main/x;
--- must_die
--- error_log
invalid URL "redis+sentinel://127.0.0.1/main/x" of "zapier_redis": the database is not a number, it must be "redis+sentinel://HOST[:PORT],.../MASTER[/DB]" or "rediss+sentinel://HOST[:PORT],.../MASTER[/DB]"


=== TEST 156: zapier_redis redis+cluster, a database
--- http_config
    zapier_redis redis+cluster://127.0.0.1/1;
--- must_die
--- error_log
invalid URL "redis+cluster://127.0.0.1/1" of "zapier_redis": a cluster has no databases, it must be "redis+cluster://HOST[:PORT],..." or "rediss+cluster://HOST[:PORT],..."


=== TEST 157: zapier_redis redis+cluster, no host
--- http_config
    zapier_redis redis+cluster://;
--- must_die
--- error_log
invalid URL "redis+cluster://" of "zapier_redis": no host, it must be "redis+cluster://HOST[:PORT],..." or "rediss+cluster://HOST[:PORT],..."


=== TEST 158: zapier_redis redis+cluster, an empty one between commas
--- http_config
    zapier_redis redis+cluster://127.0.0.1,,127.0.0.2;
--- must_die
--- error_log
invalid URL "redis+cluster://127.0.0.1,,127.0.0.2" of "zapier_redis": no host, it must be "redis+cluster://HOST[:PORT],..." or "rediss+cluster://HOST[:PORT],..."


=== TEST 159: zapier_redis sentinel_password_file= without Sentinels
--- http_config
    zapier_redis redis+cluster://127.0.0.1 sentinel_password_file=x;
--- must_die
--- error_log
"sentinel_password_file=" is set but "zapier_redis redis+cluster://127.0.0.1" names no Sentinels, write "redis+sentinel://"
=== TEST 160: zapier_idempotency needs on or off
--- config
    zapier_idempotency yes;
--- must_die
--- error_log
invalid value "yes" in "zapier_idempotency": "on" or "off" is needed

=== TEST 161: zapier_idempotency ttl=
--- config
    zapier_idempotency on ttl=0;
--- must_die
--- error_log
invalid value "ttl=0" in "zapier_idempotency": a time from 1ms to 14d is needed

=== TEST 162: zapier_idempotency with something else
--- config
    zapier_idempotency on key=1;
--- must_die
--- error_log
invalid value "key=1" in "zapier_idempotency": "ttl=", "replicas=" or "required" is needed

=== TEST 163: zapier_idempotency off required
--- config
    zapier_idempotency off required;
--- must_die
--- error_log
invalid value "required" in "zapier_idempotency": "off" stands alone

=== TEST 164: zapier_retry deadline=
--- config
    location / {
        zapier_tenant  a;
        zapier_retry   503 deadline=0;
    }
--- must_die
--- error_log
invalid value "deadline=0" in "zapier_retry": a time from 1ms to 1h is needed

=== TEST 165: zapier_callback without zapier_wait
--- config
    location / {
        zapier_tenant   a;
        zapier_body     action_run;
        zapier_callback https://gateway.example.com/callback;
    }
--- must_die
--- error_log
"zapier_callback" "https://gateway.example.com/callback" has no effect, it needs "zapier_wait TIME" in the same location

=== TEST 166: zapier_callback without zapier_body
--- config
    location / {
        zapier_tenant   a;
        zapier_wait     1s;
        zapier_callback https://gateway.example.com/callback;
    }
--- must_die
--- error_log
has no effect, it needs "zapier_body action_run" in the same location

=== TEST 167: zapier_callback with something that is no URL
--- config
    location / {
        zapier_callback /callback;
    }
--- must_die
--- error_log
invalid value "/callback" in "zapier_callback": "off", "receive" or a URL without variables, query and fragment is needed

=== TEST 168: zapier_callback poll=
--- config
    location / {
        zapier_callback https://gateway.example.com/callback poll=2m;
    }
--- must_die
--- error_log
invalid value "poll=2m" in "zapier_callback": "poll=" with a time from 1ms to 60s is needed

=== TEST 169: zapier_callback without a secret
--- config
    location / {
        zapier_callback receive;
    }
--- must_die
--- error_log
"zapier_callback" needs "zapier_callback_secret FILE" in the http block

=== TEST 170: zapier_callback_keys needs a URI
--- http_config
    zapier_callback_keys https://zapier.com/.well-known/jwks.json;
--- must_die
--- error_log
the URI of an internal location is needed, such as /zapier-keys

=== TEST 171: zapier_body action_runs with items=
--- config
    location / {
        zapier_body action_runs items=0;
    }
--- must_die
--- error_log
invalid value "items=0" in "zapier_body": a number from 1 to 1000 is needed

=== TEST 172: zapier_body action_runs with parallel=
--- config
    location / {
        zapier_body action_runs parallel=65;
    }
--- must_die
--- error_log
invalid value "parallel=65" in "zapier_body": a number from 1 to 64 is needed

=== TEST 173: zapier_body action_runs with deadline=
--- config
    location / {
        zapier_body action_runs deadline=never;
    }
--- must_die
--- error_log
invalid value "deadline=never" in "zapier_body": a time from 1ms to 1h is needed

=== TEST 174: zapier_body action_runs with an unknown parameter
--- config
    location / {
        zapier_body action_runs min=1;
    }
--- must_die
--- error_log
invalid value "min=1" in "zapier_body": "max=", "items=", "parallel=" or "deadline=" is needed

=== TEST 175: zapier_body action_run with items=
--- config
    location / {
        zapier_body action_run items=2;
    }
--- must_die
--- error_log
invalid value "items=2" in "zapier_body": only "max=" after "action_run" is known

=== TEST 176: zapier_action_map with an unknown parameter
--- config
    location / {
        zapier_action_map redis cache=1s;
    }
--- must_die
--- error_log
invalid value "cache=1s" in "zapier_action_map": "strict", "redis", "entry_cache=", "lookup=" or "lookup_cache=" is needed

=== TEST 177: zapier_action_map lookup= needs a URI
--- config
    location / {
        zapier_action_map redis lookup=https://api.zapier.com/v2/actions;
    }
--- must_die
--- error_log
invalid value "lookup=https://api.zapier.com/v2/actions" in "zapier_action_map": the URI of an internal location is needed, such as lookup=/zapier-actions

=== TEST 178: zapier_action_map lookup_cache= out of range
--- config
    location / {
        zapier_action_map redis lookup=/a lookup_cache=2d;
    }
--- must_die
--- error_log
invalid value "lookup_cache=2d" in "zapier_action_map": a time from 1ms to 1d is needed

=== TEST 179: zapier_action_map entry_cache= out of range
--- config
    location / {
        zapier_action_map redis entry_cache=0;
    }
--- must_die
--- error_log
invalid value "entry_cache=0" in "zapier_action_map": a time from 1ms to 1h is needed

=== TEST 180: zapier_action_map off stands alone
--- config
    location / {
        zapier_action_map off strict;
    }
--- must_die
--- error_log
invalid value "strict" in "zapier_action_map": "off" stands alone

=== TEST 181: zapier_action_map lookup_cache= without lookup=
--- config
    location / {
        zapier_action_map redis lookup_cache=1m;
    }
--- must_die
--- error_log
invalid value "redis" in "zapier_action_map": "lookup_cache=" has no effect without "lookup="

=== TEST 182: zapier_action_map entry_cache= without redis
--- config
    location / {
        zapier_action_map actions.json entry_cache=1m;
    }
--- must_die
--- error_log
invalid value "actions.json" in "zapier_action_map": "entry_cache=" has no effect without "redis"

=== TEST 183: zapier_action_map without zapier_body
--- config
    location / {
        zapier_tenant     acme;
        zapier_action_map redis;
    }
--- must_die
--- error_log
"zapier_action_map" "redis" has no effect, it needs "zapier_body action_run" in the same location

=== TEST 184: zapier_idempotency replicas=
--- config
    zapier_idempotency on required replicas=0 ttl=1h;
--- must_die
--- error_log
invalid value "replicas=0" in "zapier_idempotency": a number from 1 to 16 is needed

=== TEST 185: zapier_limit_zone whose name would run into its keys (Traefik 11753)
--- http_config
    zapier_limit_zone few:x key=a;
--- must_die
--- error_log
invalid value "few:x" in "zapier_limit_zone": a name of 1 to 64 letters, digits, "_", "-" or "." is needed
