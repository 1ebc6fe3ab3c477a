
/*
 * Waiting for replicas: WAIT is about what its own connection has written,
 * and nothing else can be asked there until it ends.  Hence the link that
 * durable commands have for themselves.
 *
 * All whose commands were answered meanwhile share the next WAIT.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_link.h>


static ngx_msec_t ngx_zapier_redis_sync_time(ngx_zapier_redis_link_t *link,
    ngx_uint_t *n);
static ngx_int_t ngx_zapier_redis_synced(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply);


ngx_int_t
ngx_zapier_redis_sync(ngx_zapier_redis_cmd_t *cmd, ngx_uint_t n)
{
    ngx_zapier_redis_link_t  *link;
    ngx_zapier_redis_slot_t  *slot;

    link = cmd->link;

    /* what answers on another connection may be another server */

    if (link == NULL || link->epoch != cmd->epoch) {
        return NGX_ERROR;
    }

    slot = ngx_zapier_redis_queue_slot(link);
    if (slot == NULL) {
        return NGX_ERROR;
    }

    slot->replicas = n;

    ngx_queue_insert_tail(&link->joining, &slot->fifo);

    ngx_zapier_redis_queue_attach(slot, cmd, cmd->deadline);

    cmd->reply = NULL;

    ngx_zapier_redis_link_settle(link);
    ngx_zapier_redis_link_post(link);

    return NGX_AGAIN;
}


ngx_int_t
ngx_zapier_redis_sync_send(ngx_zapier_redis_link_t *link)
{
    u_char      numbers[2][NGX_INT_T_LEN];
    ngx_str_t   argv[3];
    ngx_msec_t  time;
    ngx_uint_t  n;

    if (link->blocked || ngx_queue_empty(&link->joining)) {
        return NGX_OK;
    }

    time = ngx_zapier_redis_sync_time(link, &n);

    ngx_str_set(&argv[0], "WAIT");
    argv[1].data = numbers[0];
    argv[1].len = ngx_sprintf(numbers[0], "%ui", n) - numbers[0];
    argv[2].data = numbers[1];
    argv[2].len = ngx_sprintf(numbers[1], "%M", time) - numbers[1];

    if (ngx_zapier_redis_queue_own(link, ngx_zapier_redis_synced, 3, argv)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    link->blocked = 1;

    ngx_queue_add(&link->syncing, &link->joining);
    ngx_queue_init(&link->joining);

    ngx_zapier_redis_link_settle(link);

    return NGX_OK;
}


/*
 * The most that anybody has time for, less what it takes to hear of it; n
 * becomes the most replicas that anybody needs.
 */

static ngx_msec_t
ngx_zapier_redis_sync_time(ngx_zapier_redis_link_t *link, ngx_uint_t *n)
{
    ngx_queue_t              *q;
    ngx_msec_int_t            left, most;
    ngx_zapier_redis_slot_t  *slot;

    *n = 1;
    most = 0;

    for (q = ngx_queue_head(&link->joining);
         q != ngx_queue_sentinel(&link->joining);
         q = ngx_queue_next(q))
    {
        slot = ngx_queue_data(q, ngx_zapier_redis_slot_t, fifo);

        left = (ngx_msec_int_t) (slot->deadline - ngx_current_msec);

        most = ngx_max(most, left);
        *n = ngx_max(*n, slot->replicas);
    }

    /* 0 would be for ever */

    most -= most / 4;

    return (ngx_msec_t) ngx_max(most, 1);
}


static ngx_int_t
ngx_zapier_redis_synced(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply)
{
    ngx_queue_t              *q, list;
    ngx_zapier_redis_cmd_t   *cmd;
    ngx_zapier_redis_slot_t  *slot;

    link->blocked = 0;

    ngx_zapier_redis_link_post(link);

    /* handlers may cancel others on the list: these keep their place */

    ngx_queue_init(&list);
    ngx_queue_add(&list, &link->syncing);
    ngx_queue_init(&link->syncing);

    while (!ngx_queue_empty(&list)) {
        q = ngx_queue_head(&list);
        ngx_queue_remove(q);

        slot = ngx_queue_data(q, ngx_zapier_redis_slot_t, fifo);

        cmd = ngx_zapier_redis_queue_detach(slot);
        ngx_zapier_redis_queue_free(slot);

        if (cmd) {
            ngx_zapier_redis_queue_finish(cmd, NGX_OK, reply);
        }
    }

    return NGX_OK;
}
