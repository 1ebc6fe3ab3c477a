
/*
 * The commands of one link.  Replies carry no name, they belong to the
 * commands in the order these were sent: a command whose caller is gone
 * keeps its place until its reply comes.  One that was not sent is just
 * dropped.
 *
 * Callers' commands have the same timeout, so that the order in which they
 * were started is also the order of their deadlines; all but those that
 * have been elsewhere before.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_link.h>
#include <ngx_zapier_redis_topology.h>


/* timeouts that one command may hold up all others, while others' bytes
   trickle in */
#define NGX_ZAPIER_REDIS_STUCK  5


static ngx_zapier_redis_slot_t *ngx_zapier_redis_queue_text(
    ngx_zapier_redis_link_t *link, ngx_uint_t argc, ngx_str_t *argv);
static ngx_int_t ngx_zapier_redis_queue_asked(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply);
static ngx_zapier_redis_slot_t *ngx_zapier_redis_queue_unsent(
    ngx_zapier_redis_link_t *link);
static ngx_int_t ngx_zapier_redis_queue_room(ngx_zapier_redis_link_t *link,
    size_t len);
static ngx_int_t ngx_zapier_redis_queue_status(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply);
static void ngx_zapier_redis_queue_refuse(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply);
static ngx_uint_t ngx_zapier_redis_queue_frozen(
    ngx_zapier_redis_link_t *link);
static void ngx_zapier_redis_queue_fail_list(ngx_queue_t *list);


ngx_int_t
ngx_zapier_redis_queue_add(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_cmd_t *cmd, ngx_msec_t deadline, ngx_uint_t argc,
    ngx_str_t *argv)
{
    ngx_zapier_redis_slot_t  *slot;

    slot = ngx_zapier_redis_queue_text(link, argc, argv);
    if (slot == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_insert_tail(&link->waiting, &slot->fifo);

    ngx_zapier_redis_queue_attach(slot, cmd, deadline);

    cmd->started = ngx_current_msec;

    return NGX_OK;
}


void
ngx_zapier_redis_queue_attach(ngx_zapier_redis_slot_t *slot,
    ngx_zapier_redis_cmd_t *cmd, ngx_msec_t deadline)
{
    ngx_queue_t              *q;
    ngx_zapier_redis_link_t  *link;
    ngx_zapier_redis_slot_t  *prev;

    link = slot->link;

    slot->cmd = cmd;
    slot->deadline = deadline;

    for (q = ngx_queue_last(&link->live);
         q != ngx_queue_sentinel(&link->live);
         q = ngx_queue_prev(q))
    {
        prev = ngx_queue_data(q, ngx_zapier_redis_slot_t, live);

        if ((ngx_msec_int_t) (deadline - prev->deadline) >= 0) {
            break;
        }
    }

    ngx_queue_insert_after(q, &slot->live);

    cmd->slot = slot;
    cmd->refused = 0;
    cmd->deadline = deadline;
}


/*
 * Commands wait in the order they are written, so this one stands right
 * before the one it is meant for.
 */

ngx_int_t
ngx_zapier_redis_queue_asking(ngx_zapier_redis_link_t *link)
{
    ngx_str_t                 argv[1];
    ngx_zapier_redis_slot_t  *slot;

    ngx_str_set(&argv[0], "ASKING");

    slot = ngx_zapier_redis_queue_text(link, 1, argv);
    if (slot == NULL) {
        return NGX_ERROR;
    }

    slot->own = ngx_zapier_redis_queue_asked;

    ngx_queue_insert_tail(&link->waiting, &slot->fifo);

    return NGX_OK;
}


static ngx_int_t
ngx_zapier_redis_queue_asked(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply)
{
    (void) link;
    (void) reply;

    /* if it was refused, the reply to the command itself will tell */

    return NGX_OK;
}


ngx_int_t
ngx_zapier_redis_queue_own(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_own_pt own, ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_zapier_redis_slot_t  *slot;

    slot = ngx_zapier_redis_queue_text(link, argc, argv);
    if (slot == NULL) {
        return NGX_ERROR;
    }

    slot->own = own;

    ngx_queue_insert_tail(&link->control, &slot->fifo);

    return NGX_OK;
}


static ngx_zapier_redis_slot_t *
ngx_zapier_redis_queue_text(ngx_zapier_redis_link_t *link, ngx_uint_t argc,
    ngx_str_t *argv)
{
    size_t                    size;
    ngx_str_t                 text;
    ngx_uint_t                i;
    ngx_zapier_redis_slot_t  *slot;

    size = link->bytes;

    for (i = 0; i < argc; i++) {

        if (argv[i].len > NGX_ZAPIER_REDIS_BYTES) {
            return NULL;
        }

        size += argv[i].len;

        if (size > NGX_ZAPIER_REDIS_BYTES) {
            return NULL;
        }
    }

    if (ngx_zapier_redis_format(argc, argv, &text, &link->log) != NGX_OK) {
        return NULL;
    }

    slot = ngx_zapier_redis_queue_slot(link);
    if (slot == NULL) {
        ngx_zapier_redis_format_free(&text);
        return NULL;
    }

    slot->text = text;
    link->bytes += text.len;

    return slot;
}


ngx_zapier_redis_slot_t *
ngx_zapier_redis_queue_slot(ngx_zapier_redis_link_t *link)
{
    ngx_queue_t              *q;
    ngx_zapier_redis_t       *redis;
    ngx_zapier_redis_slot_t  *slot;

    redis = link->redis;

    if (link->pending >= NGX_ZAPIER_REDIS_PENDING) {
        return NULL;
    }

    if (ngx_queue_empty(&redis->slots)) {
        slot = ngx_palloc(redis->pool, sizeof(ngx_zapier_redis_slot_t));
        if (slot == NULL) {
            return NULL;
        }

    } else {
        q = ngx_queue_head(&redis->slots);
        ngx_queue_remove(q);

        slot = ngx_queue_data(q, ngx_zapier_redis_slot_t, fifo);
    }

    ngx_memzero(slot, sizeof(ngx_zapier_redis_slot_t));

    slot->link = link;
    link->pending++;

    return slot;
}


void
ngx_zapier_redis_queue_free(ngx_zapier_redis_slot_t *slot)
{
    ngx_zapier_redis_link_t  *link;

    link = slot->link;

    link->pending--;
    link->bytes -= slot->text.len;

    ngx_zapier_redis_format_free(&slot->text);

    ngx_queue_insert_head(&link->redis->slots, &slot->fifo);
}


/* The slot and its command forget each other. */

ngx_zapier_redis_cmd_t *
ngx_zapier_redis_queue_detach(ngx_zapier_redis_slot_t *slot)
{
    ngx_zapier_redis_cmd_t  *cmd;

    cmd = slot->cmd;

    if (cmd) {
        ngx_queue_remove(&slot->live);
        slot->cmd = NULL;
        cmd->slot = NULL;
    }

    return cmd;
}


void
ngx_zapier_redis_cancel(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_zapier_redis_link_t  *link;
    ngx_zapier_redis_slot_t  *slot;

    if (cmd->call) {
        ngx_zapier_redis_call_cancel(cmd->call);
        return;
    }

    slot = cmd->slot;

    if (slot == NULL) {
        return;
    }

    link = slot->link;

    (void) ngx_zapier_redis_queue_detach(slot);

    if (slot->text.data) {
        ngx_queue_remove(&slot->fifo);
        ngx_zapier_redis_queue_free(slot);
    }

    ngx_zapier_redis_link_settle(link);
}


void
ngx_zapier_redis_queue_finish(ngx_zapier_redis_cmd_t *cmd, ngx_int_t status,
    ngx_zapier_redis_reply_t *reply)
{
    cmd->status = status;
    cmd->reply = reply;
    cmd->time = ngx_current_msec - cmd->started;

    cmd->handler(cmd);
}


ngx_int_t
ngx_zapier_redis_queue_batch(ngx_zapier_redis_link_t *link)
{
    ngx_zapier_redis_slot_t  *slot;

    /*
     * A write over TLS that has to be repeated must be repeated with the
     * same bytes at the same place: nothing is added before all is written.
     */

    if (link->out_pos != link->out_last) {
        return NGX_OK;
    }

    link->out_pos = link->out;
    link->out_last = link->out;

    for ( ;; ) {
        slot = ngx_zapier_redis_queue_unsent(link);

        if (slot == NULL) {
            return NGX_OK;
        }

        if (link->out_size - (link->out_last - link->out) < slot->text.len) {

            if (link->out_last != link->out) {
                return NGX_OK;
            }

            if (ngx_zapier_redis_queue_room(link, slot->text.len) != NGX_OK) {
                return NGX_ERROR;
            }
        }

        link->out_last = ngx_cpymem(link->out_last, slot->text.data,
                                    slot->text.len);
        link->bytes -= slot->text.len;
        ngx_zapier_redis_format_free(&slot->text);

        ngx_queue_remove(&slot->fifo);

        if (link->pushing) {
            ngx_zapier_redis_queue_free(slot);
            continue;
        }

        slot->sent = ngx_current_msec;
        ngx_queue_insert_tail(&link->sent, &slot->fifo);
    }
}


static ngx_zapier_redis_slot_t *
ngx_zapier_redis_queue_unsent(ngx_zapier_redis_link_t *link)
{
    ngx_queue_t  *q;

    if (!ngx_queue_empty(&link->control)) {
        q = ngx_queue_head(&link->control);

    } else if (link->state == NGX_ZAPIER_REDIS_READY
               && !link->draining
               && !link->blocked
               && !ngx_queue_empty(&link->waiting))
    {
        q = ngx_queue_head(&link->waiting);

    } else {
        return NULL;
    }

    return ngx_queue_data(q, ngx_zapier_redis_slot_t, fifo);
}


static ngx_int_t
ngx_zapier_redis_queue_room(ngx_zapier_redis_link_t *link, size_t len)
{
    if (link->out) {
        ngx_free(link->out);
    }

    link->out_size = ngx_max(len, NGX_ZAPIER_REDIS_WRITE);
    link->out = ngx_alloc(link->out_size, &link->log);

    if (link->out == NULL) {
        link->out_size = 0;
    }

    link->out_pos = link->out;
    link->out_last = link->out;

    return link->out ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_zapier_redis_queue_reply(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply)
{
    size_t                    len;
    u_char                    text[NGX_ZAPIER_REDIS_TEXT_LEN];
    ngx_int_t                 status;
    ngx_queue_t              *q;
    ngx_zapier_redis_cmd_t   *cmd;
    ngx_zapier_redis_own_pt   own;
    ngx_zapier_redis_slot_t  *slot;

    if (ngx_queue_empty(&link->sent)) {

        /* such as "max number of clients reached", sent at once */

        len = ngx_zapier_redis_reply_text(reply, text);

        ngx_log_error(NGX_LOG_ERR, &link->log, 0,
                      "redis sent a reply without a command: \"%*s\"",
                      len, text);
        return NGX_ERROR;
    }

    q = ngx_queue_head(&link->sent);
    ngx_queue_remove(q);

    slot = ngx_queue_data(q, ngx_zapier_redis_slot_t, fifo);

    own = slot->own;
    cmd = ngx_zapier_redis_queue_detach(slot);

    ngx_zapier_redis_queue_free(slot);

    if (own) {
        return own(link, reply);
    }

    status = ngx_zapier_redis_queue_status(link, reply);

    if (cmd) {
        cmd->refused = (status != NGX_OK);
        cmd->link = link;
        cmd->epoch = link->epoch;

        ngx_zapier_redis_queue_finish(cmd, status,
                                      (status == NGX_OK) ? reply : NULL);
    }

    return NGX_OK;
}


/* NGX_OK: an answer, NGX_ERROR: the server could not serve. */

static ngx_int_t
ngx_zapier_redis_queue_status(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply)
{
    size_t  len;
    u_char  text[NGX_ZAPIER_REDIS_TEXT_LEN];

    if (ngx_zapier_redis_refused(reply)
        && (link->redis->member == NULL
            || !ngx_zapier_redis_reply_is(reply, NGX_ZAPIER_REDIS_ERROR,
                                          "TRYAGAIN")))
    {
        ngx_zapier_redis_queue_refuse(link, reply);
        return NGX_ERROR;
    }

    if (link->trial) {
        link->trial = 0;

        if (link->redis->backoff) {
            link->redis->backoff = 0;

            ngx_log_error(NGX_LOG_NOTICE, &link->log, 0,
                          "redis serves again");
        }
    }

    if (!ngx_zapier_redis_reply_is(reply, NGX_ZAPIER_REDIS_ERROR, "MISCONF")) {
        return NGX_OK;
    }

    /* only writes are refused, and a new link would not change that */

    if (!link->misconf) {
        link->misconf = 1;
        len = ngx_zapier_redis_reply_text(reply, text);

        ngx_log_error(NGX_LOG_ERR, &link->log, 0,
                      "redis refuses to write: \"%*s\"", len, text);
    }

    return NGX_ERROR;
}


/* The link gets no more commands and goes when it owes nobody a reply. */

static void
ngx_zapier_redis_queue_refuse(ngx_zapier_redis_link_t *link,
    ngx_zapier_redis_reply_t *reply)
{
    size_t  len;
    u_char  text[NGX_ZAPIER_REDIS_TEXT_LEN];

    if (link->draining) {
        return;
    }

    len = ngx_zapier_redis_reply_text(reply, text);

    ngx_log_error(NGX_LOG_ERR, &link->log, 0,
                  "redis cannot serve: \"%*s\"", len, text);

    link->draining = 1;
    link->redis->addr++;

    ngx_zapier_redis_breaker_fail(link->redis);
}


ngx_int_t
ngx_zapier_redis_queue_expire(ngx_zapier_redis_link_t *link)
{
    ngx_uint_t                epoch;
    ngx_queue_t              *q;
    ngx_zapier_redis_cmd_t   *cmd;
    ngx_zapier_redis_slot_t  *slot;

    if (ngx_zapier_redis_queue_frozen(link)) {
        ngx_log_error(NGX_LOG_ERR, &link->log, 0,
                      "redis did not reply in time");
        return NGX_ERROR;
    }

    epoch = link->epoch;

    while (!ngx_queue_empty(&link->live) && link->epoch == epoch) {

        q = ngx_queue_head(&link->live);
        slot = ngx_queue_data(q, ngx_zapier_redis_slot_t, live);

        if ((ngx_msec_int_t) (slot->deadline - ngx_current_msec) > 0) {
            break;
        }

        ngx_log_error(NGX_LOG_INFO, &link->log, 0, "redis command timed out");

        cmd = ngx_zapier_redis_queue_detach(slot);
        cmd->refused = (slot->text.data != NULL);

        if (slot->text.data) {
            ngx_queue_remove(&slot->fifo);
            ngx_zapier_redis_queue_free(slot);
        }

        ngx_zapier_redis_queue_finish(cmd, NGX_ERROR, NULL);
    }

    return NGX_OK;
}


/*
 * Silence is counted from the moment a command was sent, not started: it
 * may have spent most of its time waiting for the link.
 */

static ngx_uint_t
ngx_zapier_redis_queue_frozen(ngx_zapier_redis_link_t *link)
{
    ngx_msec_t                silence, stuck;
    ngx_queue_t              *q;
    ngx_zapier_redis_slot_t  *slot;

    if (ngx_queue_empty(&link->sent)) {
        return 0;
    }

    q = ngx_queue_head(&link->sent);
    slot = ngx_queue_data(q, ngx_zapier_redis_slot_t, fifo);

    stuck = ngx_current_msec - slot->sent;
    silence = ngx_min(stuck, ngx_current_msec - link->received);

    return silence >= ngx_zapier_redis_queue_patience(link)
           || stuck >= link->redis->conf.timeout * NGX_ZAPIER_REDIS_STUCK;
}


/*
 * The server looks only now and then whether the time of a WAIT is over;
 * its callers have been told before.
 */

ngx_msec_t
ngx_zapier_redis_queue_patience(ngx_zapier_redis_link_t *link)
{
    return link->redis->conf.timeout
           * (link->blocked ? NGX_ZAPIER_REDIS_STUCK : 1);
}


void
ngx_zapier_redis_queue_fail(ngx_zapier_redis_link_t *link)
{
    ngx_queue_t  list;

    /*
     * The handlers see empty queues.  They may cancel what is still on the
     * list, as a slot can be removed from any.
     */

    ngx_queue_init(&list);
    ngx_queue_add(&list, &link->sent);
    ngx_queue_init(&link->sent);
    ngx_queue_add(&list, &link->control);
    ngx_queue_init(&link->control);
    ngx_queue_add(&list, &link->waiting);
    ngx_queue_init(&link->waiting);
    ngx_queue_add(&list, &link->joining);
    ngx_queue_init(&link->joining);
    ngx_queue_add(&list, &link->syncing);
    ngx_queue_init(&link->syncing);

    ngx_zapier_redis_queue_fail_list(&list);
}


void
ngx_zapier_redis_queue_fail_waiting(ngx_zapier_redis_link_t *link)
{
    ngx_queue_t  list;

    ngx_queue_init(&list);
    ngx_queue_add(&list, &link->waiting);
    ngx_queue_init(&link->waiting);

    ngx_zapier_redis_queue_fail_list(&list);
}


static void
ngx_zapier_redis_queue_fail_list(ngx_queue_t *list)
{
    ngx_uint_t                unsent;
    ngx_queue_t              *q;
    ngx_zapier_redis_cmd_t   *cmd;
    ngx_zapier_redis_slot_t  *slot;

    while (!ngx_queue_empty(list)) {

        q = ngx_queue_head(list);
        ngx_queue_remove(q);

        slot = ngx_queue_data(q, ngx_zapier_redis_slot_t, fifo);
        unsent = (slot->text.data != NULL);

        cmd = ngx_zapier_redis_queue_detach(slot);
        ngx_zapier_redis_queue_free(slot);

        if (cmd) {
            cmd->refused = unsent;

            ngx_zapier_redis_queue_finish(cmd, NGX_ERROR, NULL);
        }
    }
}
