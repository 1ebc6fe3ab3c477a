--- error_code: 404



=== TEST 26: white space stays as it is
--- request eval
"POST /v2/action-runs\r\n"
. " {\t\"action\" : \"core:a\" ,\r\n \"input\" : { } }\n "
--- sandbox_body eval
"{\"data\": {\t\"action\" : \"core:a\" ,\r\n \"inputs\" : { } "
. ",\"authentication\":null}\n }"



=== TEST 27: zapier_action with a proxy_pass that has a URI
--- config
    location = /send-mail {
        zapier_tenant          $http_x_tenant;
        zapier_body            action_run;
        zapier_action          core:mail;
        zapier_authentication  auth1;

        include                $params;
        proxy_pass             http://sandbox/v2/action-runs;
    }
--- request
POST /send-mail
{"to":"a@b.example"}
--- sandbox_request
POST /v2/action-runs
--- sandbox_body
{"data":{"action":"core:mail","authentication":"auth1","inputs":{"to":"a@b.example"}}}
