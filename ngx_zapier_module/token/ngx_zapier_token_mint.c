
/*
 * An app's own token (RFC 6749 4.4).  It goes the way of a refresh, under
 * the same locks, but nothing is spent for it: an answer that is lost costs
 * nothing, and the next call makes another token.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_token_refresh.h>


ngx_uint_t
ngx_zapier_token_mint_ask(ngx_zapier_token_refresh_t *refresh,
    ngx_zapier_oauth_param_t *params)
{
    ngx_str_set(&params[0].name, "grant_type");
    ngx_str_set(&params[0].value, "client_credentials");

    if (refresh->mint_scope.len == 0) {
        return 1;
    }

    ngx_str_set(&params[1].name, "scope");
    params[1].value = refresh->mint_scope;

    return NGX_ZAPIER_MINT_PARAMS;
}


void
ngx_zapier_token_mint_granted(ngx_zapier_token_refresh_t *refresh)
{
    ngx_zapier_oauth_answer_t  *answer;

    answer = &refresh->answer;

    /* RFC 6749 4.4.3: there should be none, and nobody would use it */

    ngx_str_null(&answer->refresh_token);

    /* RFC 6749 5.1: a scope that is as asked for need not be told */

    if (answer->scope.len == 0) {
        answer->scope = refresh->mint_scope;
    }
}


void
ngx_zapier_token_mint_failed(ngx_zapier_token_refresh_t *refresh)
{
    ngx_msec_t                  pause;
    ngx_zapier_oauth_call_t    *call;
    ngx_zapier_oauth_answer_t  *answer;

    call = &refresh->call;
    answer = &refresh->answer;

    if (answer->result == NGX_ZAPIER_OAUTH_REFUSED
        || answer->result == NGX_ZAPIER_OAUTH_DEAD)
    {
        ngx_zapier_token_count(refresh->tokens, refresh_refused);
        pause = NGX_ZAPIER_REFRESH_REFUSED;

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "the token endpoint refused the app token \"%V\" with "
                      "scope \"%V\": status %ui, \"%V\"; look at "
                      "\"zapier_oauth_client\", \"zapier_oauth_token\" and "
                      "\"zapier_auth app\"", &refresh->key.tenant,
                      &refresh->mint_scope, call->status, &answer->error);

    } else {
        ngx_zapier_token_count(refresh->tokens, refresh_failed);
        pause = ngx_zapier_token_refresh_later(refresh);

        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "the app token \"%V\" was not got for now: status %ui, "
                      "\"%V\"", &refresh->key.tenant, call->status,
                      &answer->error);
    }

    ngx_zapier_token_refresh_release(refresh, pause, "");
}
