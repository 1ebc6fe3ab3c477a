
/*
 * The master according to Sentinel.
 *
 * Sentinels are asked in turn, the one that answered last first, and what
 * they name must say itself that it is a master before anything is sent to
 * it.  They are asked when there is no master, when it fails or says that
 * it is none, and once in a while in any case: a master that is cut off from
 * the Sentinels, but not from here, would take writes that are lost.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_file.h>
#include <ngx_zapier_redis_topology.h>


/* ms between questions while the master serves */
#define NGX_ZAPIER_REDIS_SENTINEL_POLL   500

/* masters that have been named */
#define NGX_ZAPIER_REDIS_SENTINEL_NODES  16


typedef struct {
    ngx_zapier_redis_topology_t     topology;   /* must be first */
    ngx_str_t                       name;       /* of the master */
    ngx_str_t                       password;   /* of the Sentinels */

    ngx_zapier_redis_t             *master;     /* NULL: not known yet */
    ngx_zapier_redis_t             *candidate;  /* being asked for its role */
    ngx_uint_t                      current;    /* Sentinel */
    ngx_uint_t                      asked;      /* in this round */
    ngx_zapier_redis_cmd_t          question;
    ngx_zapier_redis_cmd_t          role;
    ngx_event_t                     timer;      /* of the next round */
    ngx_event_t                     round;      /* posted: begin it now */

    unsigned                        suspect:1;  /* the master has failed */
    unsigned                        asking:1;   /* a round is on */
    unsigned                        warned:1;   /* that nobody answers */
} ngx_zapier_redis_sentinel_t;


static ngx_int_t ngx_zapier_redis_sentinel_conf(ngx_conf_t *cf,
    ngx_zapier_redis_topology_t *topology);
static void ngx_zapier_redis_sentinel_setup(
    ngx_zapier_redis_topology_t *topology, ngx_zapier_redis_t *redis);
static void ngx_zapier_redis_sentinel_init(
    ngx_zapier_redis_topology_t *topology);
static void ngx_zapier_redis_sentinel_exit(
    ngx_zapier_redis_topology_t *topology);
static ngx_int_t ngx_zapier_redis_sentinel_send(
    ngx_zapier_redis_call_t *call);
static ngx_int_t ngx_zapier_redis_sentinel_reply(
    ngx_zapier_redis_call_t *call);
static void ngx_zapier_redis_sentinel_failed(
    ngx_zapier_redis_topology_t *topology, ngx_zapier_redis_t *redis);
static ngx_zapier_redis_t *ngx_zapier_redis_sentinel_watched(
    ngx_zapier_redis_topology_t *topology, ngx_zapier_redis_watch_t *watch);
static ngx_uint_t ngx_zapier_redis_sentinel_unused(
    ngx_zapier_redis_topology_t *topology, ngx_zapier_redis_t *redis);
static void ngx_zapier_redis_sentinel_start(ngx_zapier_redis_sentinel_t *s);
static void ngx_zapier_redis_sentinel_round(ngx_event_t *ev);
static void ngx_zapier_redis_sentinel_ask(ngx_zapier_redis_sentinel_t *s);
static void ngx_zapier_redis_sentinel_next(ngx_zapier_redis_sentinel_t *s);
static void ngx_zapier_redis_sentinel_answer(ngx_zapier_redis_cmd_t *cmd);
static void ngx_zapier_redis_sentinel_named(ngx_zapier_redis_sentinel_t *s,
    ngx_zapier_redis_reply_t *reply);
static void ngx_zapier_redis_sentinel_role(ngx_zapier_redis_cmd_t *cmd);
static void ngx_zapier_redis_sentinel_adopt(ngx_zapier_redis_sentinel_t *s,
    ngx_zapier_redis_t *redis);
static void ngx_zapier_redis_sentinel_finish(ngx_zapier_redis_sentinel_t *s);
static void ngx_zapier_redis_sentinel_lost(ngx_zapier_redis_sentinel_t *s);


ngx_zapier_redis_topology_t *
ngx_zapier_redis_sentinel_create(ngx_conf_t *cf)
{
    ngx_zapier_redis_sentinel_t  *s;

    s = ngx_pcalloc(cf->pool, sizeof(ngx_zapier_redis_sentinel_t));
    if (s == NULL) {
        return NULL;
    }

    s->topology.form = NGX_ZAPIER_REDIS_SENTINEL_FORM;
    s->topology.max = NGX_ZAPIER_REDIS_SENTINEL_NODES;
    s->topology.conf = ngx_zapier_redis_sentinel_conf;
    s->topology.setup = ngx_zapier_redis_sentinel_setup;
    s->topology.init = ngx_zapier_redis_sentinel_init;
    s->topology.exit = ngx_zapier_redis_sentinel_exit;
    s->topology.send = ngx_zapier_redis_sentinel_send;
    s->topology.reply = ngx_zapier_redis_sentinel_reply;
    s->topology.failed = ngx_zapier_redis_sentinel_failed;
    s->topology.watched = ngx_zapier_redis_sentinel_watched;
    s->topology.unused = ngx_zapier_redis_sentinel_unused;

    return &s->topology;
}


void
ngx_zapier_redis_sentinel_master(ngx_zapier_redis_topology_t *topology,
    ngx_str_t *name)
{
    ngx_zapier_redis_sentinel_t  *s;

    s = (ngx_zapier_redis_sentinel_t *) topology;

    s->name = *name;
}


/* Sentinels have users of their own, and must not see others' passwords. */

static ngx_int_t
ngx_zapier_redis_sentinel_conf(ngx_conf_t *cf,
    ngx_zapier_redis_topology_t *topology)
{
    ngx_zapier_redis_t           *redis;
    ngx_zapier_redis_sentinel_t  *s;

    s = (ngx_zapier_redis_sentinel_t *) topology;
    redis = topology->redis;

    if (redis->conf.sentinel_password_file.len == 0) {
        return NGX_OK;
    }

    return ngx_zapier_file_line(cf, &redis->conf.sentinel_password_file,
                                "\"sentinel_password_file=\" of "
                                "\"zapier_redis\"",
                                "the password", &s->password);
}


static void
ngx_zapier_redis_sentinel_setup(ngx_zapier_redis_topology_t *topology,
    ngx_zapier_redis_t *redis)
{
    ngx_zapier_redis_sentinel_t  *s;

    s = (ngx_zapier_redis_sentinel_t *) topology;

    redis->password = s->password;
    redis->conf.user = redis->conf.sentinel_user;
    redis->conf.connections = 1;

    /* one that is silent leaves half of the time for another */

    redis->conf.timeout = redis->conf.timeout / 2 + 1;
}


static void
ngx_zapier_redis_sentinel_init(ngx_zapier_redis_topology_t *topology)
{
    ngx_zapier_redis_sentinel_t  *s;

    s = (ngx_zapier_redis_sentinel_t *) topology;

    /* workers do not all begin with the same one */

    s->current = (ngx_uint_t) ngx_random() % topology->nservers;

    s->timer.handler = ngx_zapier_redis_sentinel_round;
    s->timer.data = s;
    s->timer.log = &topology->log;
    s->timer.cancelable = 1;

    s->round.handler = ngx_zapier_redis_sentinel_round;
    s->round.data = s;
    s->round.log = &topology->log;
}


static void
ngx_zapier_redis_sentinel_exit(ngx_zapier_redis_topology_t *topology)
{
    ngx_zapier_redis_sentinel_t  *s;

    s = (ngx_zapier_redis_sentinel_t *) topology;

    if (s->timer.timer_set) {
        ngx_del_timer(&s->timer);
    }

    if (s->round.posted) {
        ngx_delete_posted_event(&s->round);
    }

    ngx_zapier_redis_cancel(&s->question);
    ngx_zapier_redis_cancel(&s->role);
}


static ngx_int_t
ngx_zapier_redis_sentinel_send(ngx_zapier_redis_call_t *call)
{
    ngx_zapier_redis_t           *redis;
    ngx_zapier_redis_sentinel_t  *s;

    s = (ngx_zapier_redis_sentinel_t *) call->topology;

    if (s->master && !s->suspect) {

        if (ngx_zapier_redis_call_send(call, s->master, 0) == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (!s->suspect) {
            return NGX_ERROR;
        }
    }

    redis = call->topology->redis;

    if (redis->backoff) {

        /* one at a time finds out whether there is a master again */

        if ((ngx_msec_int_t) (redis->retry - ngx_current_msec) > 0
            || !ngx_queue_empty(&call->topology->waiting))
        {
            return NGX_ERROR;
        }
    }

    ngx_zapier_redis_sentinel_start(s);

    return NGX_BUSY;
}


static ngx_int_t
ngx_zapier_redis_sentinel_reply(ngx_zapier_redis_call_t *call)
{
    ngx_zapier_redis_cmd_t  *cmd;

    cmd = &call->cmd;

    if (cmd->status == NGX_OK) {
        return NGX_OK;
    }

    return (cmd->refused || call->harmless) ? NGX_DECLINED : NGX_OK;
}


static void
ngx_zapier_redis_sentinel_failed(ngx_zapier_redis_topology_t *topology,
    ngx_zapier_redis_t *redis)
{
    ngx_zapier_redis_sentinel_t  *s;

    s = (ngx_zapier_redis_sentinel_t *) topology;

    if (redis == s->master) {
        s->suspect = 1;
    }
}


static ngx_zapier_redis_t *
ngx_zapier_redis_sentinel_watched(ngx_zapier_redis_topology_t *topology,
    ngx_zapier_redis_watch_t *watch)
{
    ngx_zapier_redis_sentinel_t  *s;

    (void) watch;

    s = (ngx_zapier_redis_sentinel_t *) topology;

    if (s->master && !s->suspect) {
        return s->master;
    }

    ngx_zapier_redis_sentinel_start(s);

    return NULL;
}


static ngx_uint_t
ngx_zapier_redis_sentinel_unused(ngx_zapier_redis_topology_t *topology,
    ngx_zapier_redis_t *redis)
{
    ngx_zapier_redis_sentinel_t  *s;

    s = (ngx_zapier_redis_sentinel_t *) topology;

    return redis != s->master && redis != s->candidate;
}


/* Calls no handlers. */

static void
ngx_zapier_redis_sentinel_start(ngx_zapier_redis_sentinel_t *s)
{
    if (!s->asking) {
        ngx_post_event(&s->round, &ngx_posted_events);
    }
}


static void
ngx_zapier_redis_sentinel_round(ngx_event_t *ev)
{
    ngx_zapier_redis_sentinel_t  *s;

    s = ev->data;

    if (s->asking) {
        return;
    }

    if (ngx_exiting && ngx_queue_empty(&s->topology.waiting)) {
        return;
    }

    if (s->timer.timer_set) {
        ngx_del_timer(&s->timer);
    }

    s->asking = 1;
    s->asked = 0;

    ngx_zapier_redis_sentinel_ask(s);
}


static void
ngx_zapier_redis_sentinel_ask(ngx_zapier_redis_sentinel_t *s)
{
    ngx_str_t            argv[3];
    ngx_zapier_redis_t  *sentinel;

    ngx_str_set(&argv[0], "SENTINEL");
    ngx_str_set(&argv[1], "get-master-addr-by-name");
    argv[2] = s->name;

    s->question.handler = ngx_zapier_redis_sentinel_answer;
    s->question.data = s;

    while (s->asked < s->topology.nservers) {
        sentinel = &s->topology.servers[s->current];

        if (ngx_zapier_redis_start(sentinel, &s->question, 3, argv)
            == NGX_AGAIN)
        {
            return;
        }

        ngx_zapier_redis_sentinel_next(s);
    }

    ngx_zapier_redis_sentinel_lost(s);
}


static void
ngx_zapier_redis_sentinel_next(ngx_zapier_redis_sentinel_t *s)
{
    s->asked++;
    s->current = (s->current + 1) % s->topology.nservers;
}


static void
ngx_zapier_redis_sentinel_answer(ngx_zapier_redis_cmd_t *cmd)
{
    size_t                        len;
    u_char                        text[NGX_ZAPIER_REDIS_TEXT_LEN];
    ngx_zapier_redis_reply_t     *reply;
    ngx_zapier_redis_sentinel_t  *s;

    s = cmd->data;
    reply = cmd->reply;

    if (cmd->status == NGX_OK) {

        if (reply->type == NGX_ZAPIER_REDIS_ARRAY
            && reply->nelts == 2
            && reply->elts[0]->type == NGX_ZAPIER_REDIS_STRING
            && reply->elts[1]->type == NGX_ZAPIER_REDIS_STRING)
        {
            ngx_zapier_redis_sentinel_named(s, reply);
            return;
        }

        len = ngx_zapier_redis_reply_text(reply, text);

        ngx_log_error(NGX_LOG_ERR, &s->topology.log, 0,
                      "sentinel %V does not name a master \"%V\"%s%*s",
                      &s->topology.servers[s->current].name, &s->name,
                      len ? ": " : "", len, text);
    }

    ngx_zapier_redis_sentinel_next(s);
    ngx_zapier_redis_sentinel_ask(s);
}


static void
ngx_zapier_redis_sentinel_named(ngx_zapier_redis_sentinel_t *s,
    ngx_zapier_redis_reply_t *reply)
{
    ngx_str_t            argv[1], *port;
    ngx_zapier_redis_t  *redis;

    port = &reply->elts[1]->str;

    redis = ngx_zapier_redis_node(&s->topology, &reply->elts[0]->str,
                                  ngx_atoi(port->data, port->len));

    if (redis == s->master && redis && !s->suspect) {
        ngx_zapier_redis_sentinel_finish(s);
        return;
    }

    ngx_str_set(&argv[0], "ROLE");

    s->role.handler = ngx_zapier_redis_sentinel_role;
    s->role.data = s;

    s->candidate = redis;

    if (redis == NULL
        || ngx_zapier_redis_start(redis, &s->role, 1, argv) != NGX_AGAIN)
    {
        ngx_zapier_redis_sentinel_next(s);
        ngx_zapier_redis_sentinel_ask(s);
    }
}


/*
 * Right after a failover a Sentinel may still name the old master, another
 * one the new one.
 */

static void
ngx_zapier_redis_sentinel_role(ngx_zapier_redis_cmd_t *cmd)
{
    ngx_zapier_redis_sentinel_t  *s;

    s = cmd->data;

    if (cmd->status == NGX_OK) {

        if (ngx_zapier_redis_is_master(cmd->reply)) {
            ngx_zapier_redis_sentinel_adopt(s, s->candidate);
            return;
        }

        ngx_log_error(NGX_LOG_ERR, &s->topology.log, 0,
                      "redis %V is not the master that sentinel %V names",
                      &s->candidate->name,
                      &s->topology.servers[s->current].name);
    }

    ngx_zapier_redis_sentinel_next(s);
    ngx_zapier_redis_sentinel_ask(s);
}


ngx_uint_t
ngx_zapier_redis_is_master(ngx_zapier_redis_reply_t *reply)
{
    ngx_str_t  *role;

    if (reply->type != NGX_ZAPIER_REDIS_ARRAY
        || reply->nelts == 0
        || reply->elts[0]->type != NGX_ZAPIER_REDIS_STRING)
    {
        return 0;
    }

    role = &reply->elts[0]->str;

    return role->len == sizeof("master") - 1
           && ngx_strncmp(role->data, "master", sizeof("master") - 1) == 0;
}


static void
ngx_zapier_redis_sentinel_adopt(ngx_zapier_redis_sentinel_t *s,
    ngx_zapier_redis_t *redis)
{
    ngx_zapier_redis_t  *front, *old;

    front = s->topology.redis;
    old = s->master;

    s->master = redis;
    s->suspect = 0;

    if (old != redis) {
        ngx_log_error(NGX_LOG_NOTICE, &s->topology.log, 0,
                      "redis master \"%V\" is %V", &s->name, &redis->name);

        ngx_zapier_redis_gone_now(front);

        if (old) {
            ngx_zapier_redis_node_drain(old);
            ngx_zapier_redis_watch_moved(front, redis);
        }
    }

    front->backoff = 0;

    ngx_zapier_redis_sentinel_finish(s);
    ngx_zapier_redis_call_flush(&s->topology);
}


static void
ngx_zapier_redis_sentinel_finish(ngx_zapier_redis_sentinel_t *s)
{
    s->asking = 0;
    s->warned = 0;
    s->candidate = NULL;

    if (!ngx_exiting) {
        ngx_add_timer(&s->timer,
                   ngx_zapier_redis_jitter(NGX_ZAPIER_REDIS_SENTINEL_POLL));
    }
}


/* All have been asked. */

static void
ngx_zapier_redis_sentinel_lost(ngx_zapier_redis_sentinel_t *s)
{
    s->asking = 0;
    s->candidate = NULL;

    if (!s->warned) {
        s->warned = 1;

        ngx_log_error(NGX_LOG_ERR, &s->topology.log, 0,
                      "no sentinel of %V names a master \"%V\" that serves%s",
                      &s->topology.redis->name, &s->name,
                      (s->master && !s->suspect) ? ", keeping the last one"
                                                 : "");
    }

    if (s->master && !s->suspect) {
        ngx_add_timer(&s->timer,
                   ngx_zapier_redis_jitter(NGX_ZAPIER_REDIS_SENTINEL_POLL));

        /* who came while it was suspected */

        ngx_zapier_redis_call_flush(&s->topology);
        return;
    }

    ngx_zapier_redis_breaker_fail(s->topology.redis);
    ngx_zapier_redis_call_fail(&s->topology);
}
