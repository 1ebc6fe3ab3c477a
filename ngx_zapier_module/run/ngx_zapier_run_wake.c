
/*
 * What others have found out of runs that are waited for: other nodes tell
 * it by ngx_zapier_run_news.c, other workers by a ring of hashes in shared
 * memory, and a callback comes to this one.
 *
 * Whoever is told of a run finds its flight by the key, however many there
 * are.  The handlers of those who wait are not called from here, but by the
 * flight's timer.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_zapier_run_private.h>


static void ngx_zapier_run_all(ngx_zapier_run_worker_t *worker);
static void ngx_zapier_run_notice(ngx_zapier_run_flight_t *flight);
static void ngx_zapier_run_glance(ngx_zapier_run_flight_t *flight);


void
ngx_zapier_run_heard(ngx_zapier_runs_t *runs, ngx_str_t *tenant,
    ngx_str_t *id)
{
    u_char                    text[NGX_ZAPIER_RUN_KEY_LEN];
    ngx_zapier_run_key_t      key;
    ngx_zapier_run_flight_t  *flight;

    ngx_zapier_run_key(runs, &key, text, tenant, id);

    flight = ngx_zapier_run_find(runs, &key);

    if (flight != NULL) {
        ngx_zapier_run_notice(flight);
    }
}


void
ngx_zapier_run_wake(ngx_zapier_runs_t *runs, ngx_zapier_run_key_t *key)
{
    ngx_zapier_run_flight_t  *flight;

    /* callbacks may come to where nobody can wait */

    if (runs->worker == NULL) {
        return;
    }

    flight = ngx_zapier_run_find(runs, key);

    if (flight != NULL) {
        ngx_zapier_run_notice(flight);
    }
}


/* What other workers have found out. */

void
ngx_zapier_run_tick(ngx_event_t *ev)
{
    uint32_t                  hash;
    ngx_int_t                 rc;
    ngx_rbtree_node_t        *node;
    ngx_zapier_run_worker_t  *worker;
    ngx_zapier_run_flight_t  *flight;

    worker = ev->data;

    ngx_add_timer(ev, NGX_ZAPIER_RUN_TICK);

    for ( ;; ) {
        rc = ngx_zapier_run_news(worker->runs, &worker->seq, &hash);

        if (rc != NGX_OK) {
            break;
        }

        node = worker->flights.root;

        while (node != &worker->sentinel && node->key != hash) {
            node = (hash < node->key) ? node->left : node->right;
        }

        if (node != &worker->sentinel) {
            flight = ngx_rbtree_data(node, ngx_zapier_run_flight_t,
                                     node.node);
            ngx_zapier_run_notice(flight);
        }
    }

    if (rc == NGX_DECLINED) {
        ngx_zapier_run_all(worker);
    }
}


/* Any of them may be finished; most are not, and are not asked for. */

static void
ngx_zapier_run_all(ngx_zapier_run_worker_t *worker)
{
    ngx_rbtree_node_t        *node;
    ngx_zapier_run_flight_t  *flight;

    for (node = ngx_rbtree_min(worker->flights.root, &worker->sentinel);
         node != NULL;
         node = ngx_rbtree_next(&worker->flights, node))
    {
        flight = ngx_rbtree_data(node, ngx_zapier_run_flight_t, node.node);

        ngx_zapier_run_glance(flight);
    }
}


/* Its run is finished. */

static void
ngx_zapier_run_notice(ngx_zapier_run_flight_t *flight)
{
    if (flight->asking) {

        /* what Redis is about to say may be older */

        flight->heard = 1;
        return;
    }

    if (ngx_zapier_run_known(flight->runs, &flight->key, NULL, NULL)
        == NGX_OK)
    {
        ngx_zapier_run_glance(flight);
        return;
    }

    /* the table had no room for it, or it is another node that knows */

    if (!flight->polling && ngx_zapier_run_inquire(flight, 0) == NGX_AGAIN
        && flight->timer.timer_set)
    {
        ngx_del_timer(&flight->timer);
    }
}


/* Looks at the table soon, without a step before it is due. */

static void
ngx_zapier_run_glance(ngx_zapier_run_flight_t *flight)
{
    if (flight->asking) {
        return;
    }

    if (flight->timer.timer_set) {
        ngx_del_timer(&flight->timer);
    }

    ngx_add_timer(&flight->timer, 1);
}
