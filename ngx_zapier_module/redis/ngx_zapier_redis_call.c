
/*
 * A caller's command among several servers.  It is sent again, within the
 * same deadline, only when it surely took no effect or can have none: a
 * command whose outcome is not known is the caller's business.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_redis_topology.h>
#include <ngx_zapier_wipe.h>


static ngx_zapier_redis_call_t *ngx_zapier_redis_call_create(
    ngx_zapier_redis_topology_t *topology, ngx_uint_t argc, ngx_str_t *argv);
static void ngx_zapier_redis_call_free(ngx_zapier_redis_call_t *call);
static ngx_uint_t ngx_zapier_redis_call_harmless(ngx_str_t *name);
static ngx_int_t ngx_zapier_redis_call_try(ngx_zapier_redis_call_t *call);
static void ngx_zapier_redis_call_wait(ngx_zapier_redis_call_t *call);
static void ngx_zapier_redis_call_handler(ngx_zapier_redis_cmd_t *cmd);
static void ngx_zapier_redis_call_finish(ngx_zapier_redis_call_t *call,
    ngx_int_t status, ngx_uint_t refused);


ngx_int_t
ngx_zapier_redis_call_start(ngx_zapier_redis_topology_t *topology,
    ngx_zapier_redis_cmd_t *cmd, ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_zapier_redis_call_t  *call;

    cmd->slot = NULL;
    cmd->call = NULL;
    cmd->reply = NULL;

    ngx_zapier_redis_topology_init_worker(topology);

    call = ngx_zapier_redis_call_create(topology, argc, argv);
    if (call == NULL) {
        return NGX_ERROR;
    }

    call->deadline = ngx_current_msec + topology->redis->conf.timeout;
    call->cmd.durable = cmd->durable;

    if (ngx_zapier_redis_call_try(call) != NGX_AGAIN) {
        ngx_zapier_redis_call_free(call);
        return NGX_ERROR;
    }

    call->caller = cmd;

    cmd->call = call;
    cmd->started = ngx_current_msec;

    return NGX_AGAIN;
}


static ngx_zapier_redis_call_t *
ngx_zapier_redis_call_create(ngx_zapier_redis_topology_t *topology,
    ngx_uint_t argc, ngx_str_t *argv)
{
    u_char                   *p;
    size_t                    size;
    ngx_uint_t                i;
    ngx_zapier_redis_call_t  *call;

    if (topology->ncalls >= NGX_ZAPIER_REDIS_PENDING || argc == 0) {
        return NULL;
    }

    size = sizeof(ngx_zapier_redis_call_t) + argc * sizeof(ngx_str_t);

    for (i = 0; i < argc; i++) {

        if (argv[i].len > NGX_ZAPIER_REDIS_BYTES) {
            return NULL;
        }

        size += argv[i].len;

        if (topology->bytes + size > NGX_ZAPIER_REDIS_BYTES) {
            return NULL;
        }
    }

    call = ngx_alloc(size, &topology->log);
    if (call == NULL) {
        return NULL;
    }

    ngx_memzero(call, sizeof(ngx_zapier_redis_call_t));

    call->topology = topology;
    call->size = size;
    call->argc = argc;
    call->harmless = ngx_zapier_redis_call_harmless(&argv[0]);

    p = (u_char *) &call->argv[argc];

    for (i = 0; i < argc; i++) {
        call->argv[i].len = argv[i].len;
        call->argv[i].data = p;

        p = ngx_cpymem(p, argv[i].data, argv[i].len);
    }

    ngx_queue_init(&call->wait);
    ngx_queue_insert_tail(&topology->calls, &call->queue);

    topology->ncalls++;
    topology->bytes += size;

    return call;
}


static void
ngx_zapier_redis_call_free(ngx_zapier_redis_call_t *call)
{
    ngx_zapier_redis_topology_t  *topology;

    topology = call->topology;

    topology->ncalls--;
    topology->bytes -= call->size;

    ngx_queue_remove(&call->queue);

    if (call->caller) {
        call->caller->call = NULL;
    }

    ngx_zapier_wipe(call, call->size);
    ngx_free(call);
}


static ngx_uint_t
ngx_zapier_redis_call_harmless(ngx_str_t *name)
{
    ngx_uint_t  i;

    static ngx_str_t  names[] = {
        ngx_string("HMGET"),
        ngx_string("TIME"),
        ngx_string("SCAN"),
        ngx_string("PING"),
        ngx_null_string
    };

    for (i = 0; names[i].len; i++) {
        if (names[i].len == name->len
            && ngx_strncmp(names[i].data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* NGX_AGAIN: it is on its way; NGX_ERROR: it cannot be sent. */

static ngx_int_t
ngx_zapier_redis_call_try(ngx_zapier_redis_call_t *call)
{
    ngx_int_t  rc;

    call->pausing = 0;

    if ((ngx_msec_int_t) (call->deadline - ngx_current_msec) <= 0
        || call->attempts >= NGX_ZAPIER_REDIS_ATTEMPTS)
    {
        return NGX_ERROR;
    }

    rc = call->topology->send(call);

    if (rc == NGX_BUSY) {
        ngx_zapier_redis_call_wait(call);
        return NGX_AGAIN;
    }

    return rc;
}


ngx_int_t
ngx_zapier_redis_call_send(ngx_zapier_redis_call_t *call,
    ngx_zapier_redis_t *redis, ngx_uint_t asking)
{
    call->attempts++;
    call->server = redis;
    call->strayed = asking;

    call->cmd.handler = ngx_zapier_redis_call_handler;
    call->cmd.data = call;

    return ngx_zapier_redis_send(redis, &call->cmd, call->deadline, asking,
                                 call->argc, call->argv);
}


void
ngx_zapier_redis_call_cancel(ngx_zapier_redis_call_t *call)
{
    ngx_queue_remove(&call->wait);
    ngx_zapier_redis_cancel(&call->cmd);
    ngx_zapier_redis_call_free(call);
}


static void
ngx_zapier_redis_call_handler(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_int_t                 rc;
    ngx_zapier_redis_call_t  *call;

    call = cmd->data;

    rc = call->topology->reply(call);

    if (rc == NGX_DECLINED && ngx_zapier_redis_call_try(call) == NGX_AGAIN) {
        return;
    }

    if (rc == NGX_DECLINED) {

        /* its last answer was one that let it be sent again */

        ngx_zapier_redis_call_finish(call, NGX_ERROR,
                                     cmd->refused || cmd->status == NGX_OK);
        return;
    }

    ngx_zapier_redis_call_finish(call, cmd->status, cmd->refused);
}


static void
ngx_zapier_redis_call_finish(ngx_zapier_redis_call_t *call, ngx_int_t status,
    ngx_uint_t refused)
{
    ngx_zapier_redis_cmd_t  *cmd;

    cmd = call->caller;

    cmd->status = status;
    cmd->reply = (status == NGX_OK) ? call->cmd.reply : NULL;
    cmd->refused = refused;
    cmd->strayed = call->strayed;
    cmd->time = ngx_current_msec - cmd->started;
    cmd->deadline = call->deadline;
    cmd->link = call->cmd.link;
    cmd->epoch = call->cmd.epoch;

    ngx_zapier_redis_call_free(call);

    cmd->handler(cmd);
}


static void
ngx_zapier_redis_call_wait(ngx_zapier_redis_call_t *call)
{
    ngx_msec_t                    when;
    ngx_msec_int_t                delay;
    ngx_zapier_redis_topology_t  *topology;

    topology = call->topology;

    ngx_queue_remove(&call->wait);
    ngx_queue_insert_tail(&topology->waiting, &call->wait);

    when = call->deadline;

    if (call->pausing && (ngx_msec_int_t) (call->resume - when) < 0) {
        when = call->resume;
    }

    if (topology->timer.timer_set) {

        if ((ngx_msec_int_t) (when - topology->timer.timer.key) >= 0) {
            return;
        }

        ngx_del_timer(&topology->timer);
    }

    delay = (ngx_msec_int_t) (when - ngx_current_msec);

    ngx_add_timer(&topology->timer, (ngx_msec_t) ngx_max(delay, 1));
}


/* Those whose pause is over are sent, those who are too late are told. */

void
ngx_zapier_redis_call_timer(ngx_event_t *ev)
{
    ngx_queue_t                  *q, list;
    ngx_zapier_redis_call_t      *call;
    ngx_zapier_redis_topology_t  *topology;

    topology = ev->data;

    /* the handlers may cancel what is on the list, or begin to wait */

    ngx_queue_init(&list);
    ngx_queue_add(&list, &topology->waiting);
    ngx_queue_init(&topology->waiting);

    while (!ngx_queue_empty(&list)) {
        q = ngx_queue_head(&list);

        call = ngx_queue_data(q, ngx_zapier_redis_call_t, wait);

        ngx_queue_remove(q);
        ngx_queue_init(q);

        if ((ngx_msec_int_t) (call->deadline - ngx_current_msec) <= 0) {
            ngx_zapier_redis_call_finish(call, NGX_ERROR, 1);
            continue;
        }

        if (!call->pausing
            || (ngx_msec_int_t) (call->resume - ngx_current_msec) > 0)
        {
            ngx_zapier_redis_call_wait(call);
            continue;
        }

        if (ngx_zapier_redis_call_try(call) != NGX_AGAIN) {
            ngx_zapier_redis_call_finish(call, NGX_ERROR, 1);
        }
    }
}


void
ngx_zapier_redis_call_flush(ngx_zapier_redis_topology_t *topology)
{
    ngx_queue_t              *q, list;
    ngx_zapier_redis_call_t  *call;

    ngx_queue_init(&list);
    ngx_queue_add(&list, &topology->waiting);
    ngx_queue_init(&topology->waiting);

    while (!ngx_queue_empty(&list)) {
        q = ngx_queue_head(&list);

        call = ngx_queue_data(q, ngx_zapier_redis_call_t, wait);

        ngx_queue_remove(q);
        ngx_queue_init(q);

        if (ngx_zapier_redis_call_try(call) != NGX_AGAIN) {
            ngx_zapier_redis_call_finish(call, NGX_ERROR, 1);
        }
    }
}


void
ngx_zapier_redis_call_fail(ngx_zapier_redis_topology_t *topology)
{
    ngx_queue_t              *q, list;
    ngx_zapier_redis_call_t  *call;

    ngx_queue_init(&list);
    ngx_queue_add(&list, &topology->waiting);
    ngx_queue_init(&topology->waiting);

    while (!ngx_queue_empty(&list)) {
        q = ngx_queue_head(&list);

        call = ngx_queue_data(q, ngx_zapier_redis_call_t, wait);

        ngx_queue_remove(q);
        ngx_queue_init(q);

        ngx_zapier_redis_call_finish(call, NGX_ERROR, 1);
    }
}
