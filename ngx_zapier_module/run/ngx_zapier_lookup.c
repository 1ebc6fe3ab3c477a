
/*
 * Flights: one in a worker for each thing that somebody wants to know of
 * actions.  How one finds out stands in ngx_zapier_lookup_entry.c and
 * ngx_zapier_lookup_id.c.
 *
 * A flight goes on to its end also when nobody waits any more: what was asked
 * of the upstream is paid for, and the next one may have use for it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_sha1.h>
#include <ngx_zapier_lookup_private.h>


/* ms between looks at what another worker has found out */
#define NGX_ZAPIER_LOOKUP_TICK  10


static void ngx_zapier_lookup_key(ngx_zapier_lookup_t *lookup,
    ngx_zapier_lookup_key_t *key);
static ngx_zapier_lookup_flight_t *ngx_zapier_lookup_find(
    ngx_zapier_lookup_key_t *key);
static ngx_zapier_lookup_flight_t *ngx_zapier_lookup_create(
    ngx_zapier_lookup_t *lookup, ngx_zapier_lookup_key_t *key);
static ngx_int_t ngx_zapier_lookup_own(ngx_zapier_lookup_flight_t *flight);
static void ngx_zapier_lookup_step(ngx_event_t *ev);
static void ngx_zapier_lookup_give(ngx_zapier_lookup_t *lookup,
    ngx_zapier_lookup_answer_t *answer);
static void ngx_zapier_lookup_destroy(ngx_zapier_lookup_flight_t *flight);


static ngx_rbtree_t       ngx_zapier_lookup_flights;
static ngx_rbtree_node_t  ngx_zapier_lookup_sentinel;


ngx_int_t
ngx_zapier_lookup(ngx_zapier_lookup_t *lookup)
{
    ngx_int_t                    rc;
    ngx_zapier_lookup_age_t      age;
    ngx_zapier_lookup_key_t      key;
    ngx_zapier_lookup_flight_t  *flight;

    ngx_zapier_lookup_key(lookup, &key);

    age.time = ngx_zapier_clock() - lookup->before;
    age.cache = lookup->cache;

    rc = ngx_zapier_lookup_claim(lookup->runs, &key, 0, &age, lookup->pool,
                                 &lookup->answer);

    if (rc == NGX_OK || rc == NGX_ERROR) {
        return rc;
    }

    flight = ngx_zapier_lookup_find(&key);

    if (flight == NULL) {
        flight = ngx_zapier_lookup_create(lookup, &key);
        if (flight == NULL) {
            return NGX_ERROR;
        }

        flight->age = age;

        ngx_rbtree_insert(&ngx_zapier_lookup_flights, &flight->node.node);
        ngx_post_event(&flight->event, &ngx_posted_events);
    }

    lookup->waiting = 1;

    ngx_queue_insert_tail(&flight->waiters, &lookup->queue);

    return NGX_AGAIN;
}


void
ngx_zapier_lookup_cancel(ngx_zapier_lookup_t *lookup)
{
    if (lookup->waiting) {
        lookup->waiting = 0;
        ngx_queue_remove(&lookup->queue);
    }
}


/* Whoever keeps ids for another time does not share them. */

static void
ngx_zapier_lookup_key(ngx_zapier_lookup_t *lookup,
    ngx_zapier_lookup_key_t *key)
{
    u_char      *p;
    u_char       digest[20], text[NGX_INT64_LEN];
    ngx_str_t   *part;
    ngx_uint_t   i;
    ngx_sha1_t   sha1;

    p = key->data;

    if (lookup->name.len != 0) {
        *p++ = 'e';
        *p++ = LF;
        p = ngx_cpymem(p, lookup->name.data, lookup->name.len);

    } else {
        ngx_sha1_init(&sha1);

        for (i = 0; i < 4; i++) {
            part = (i == 0) ? &lookup->app : (i == 1) ? &lookup->key
                   : (i == 2) ? &lookup->type : &lookup->uri;

            ngx_sha1_update(&sha1, part->data, part->len);
            ngx_sha1_update(&sha1, "", 1);
        }

        ngx_sha1_update(&sha1, text,
                        ngx_sprintf(text, "%M", lookup->cache) - text);
        ngx_sha1_final(digest, &sha1);

        *p++ = 'i';
        *p++ = LF;
        p = ngx_cpymem(p, lookup->tenant.data, lookup->tenant.len);
        *p++ = LF;
        p = ngx_hex_dump(p, digest, sizeof(digest));
    }

    key->len = p - key->data;
    key->hash = ngx_zapier_shm_hash(lookup->runs->shm, key->data, key->len);
}


static ngx_zapier_lookup_flight_t *
ngx_zapier_lookup_find(ngx_zapier_lookup_key_t *key)
{
    ngx_str_t        text;
    ngx_str_node_t  *node;

    if (ngx_zapier_lookup_flights.root == NULL) {
        ngx_rbtree_init(&ngx_zapier_lookup_flights,
                        &ngx_zapier_lookup_sentinel,
                        ngx_str_rbtree_insert_value);
    }

    text.data = key->data;
    text.len = key->len;

    node = ngx_str_rbtree_lookup(&ngx_zapier_lookup_flights, &text,
                                 key->hash);

    if (node == NULL) {
        return NULL;
    }

    return ngx_rbtree_data(&node->node, ngx_zapier_lookup_flight_t,
                           node.node);
}


static ngx_zapier_lookup_flight_t *
ngx_zapier_lookup_create(ngx_zapier_lookup_t *lookup,
    ngx_zapier_lookup_key_t *key)
{
    ngx_pool_t                  *pool;
    ngx_zapier_lookup_flight_t  *flight;

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    flight = ngx_pcalloc(pool, sizeof(ngx_zapier_lookup_flight_t));
    if (flight == NULL) {
        goto failed;
    }

    flight->runs = lookup->runs;
    flight->pool = pool;
    flight->key = *key;
    flight->what = *lookup;
    flight->owner = ngx_zapier_run_owner();

    if (ngx_zapier_lookup_own(flight) != NGX_OK) {
        goto failed;
    }

    if (lookup->name.len == 0) {
        flight->poll.origin = lookup->origin(lookup, pool);

        if (flight->poll.origin == NULL) {
            goto failed;
        }
    }

    ngx_queue_init(&flight->waiters);

    flight->node.node.key = key->hash;
    flight->node.str.data = flight->key.data;
    flight->node.str.len = key->len;

    flight->event.handler = ngx_zapier_lookup_step;
    flight->event.data = flight;
    flight->event.log = ngx_cycle->log;

    return flight;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


/* The request may be gone before the flight is. */

static ngx_int_t
ngx_zapier_lookup_own(ngx_zapier_lookup_flight_t *flight)
{
    ngx_str_t            *text[5];
    ngx_uint_t            i;
    ngx_zapier_lookup_t  *what;

    what = &flight->what;

    text[0] = &what->name;
    text[1] = &what->tenant;
    text[2] = &what->app;
    text[3] = &what->key;
    text[4] = &what->type;

    for (i = 0; i < 5; i++) {

        if (text[i]->len == 0) {
            continue;
        }

        text[i]->data = ngx_pstrdup(flight->pool, text[i]);
        if (text[i]->data == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_zapier_lookup_step(ngx_event_t *ev)
{
    ngx_int_t                    rc;
    ngx_zapier_lookup_answer_t   answer;
    ngx_zapier_lookup_flight_t  *flight;

    flight = ev->data;

    rc = ngx_zapier_lookup_claim(flight->runs, &flight->key, flight->owner,
                                 &flight->age, flight->pool, &answer);

    if (rc == NGX_OK) {
        ngx_zapier_lookup_tell(flight, &answer);
        return;
    }

    if (rc == NGX_BUSY) {
        ngx_add_timer(&flight->event, NGX_ZAPIER_LOOKUP_TICK);
        return;
    }

    if (flight->what.name.len != 0) {
        ngx_zapier_lookup_entry(flight);

    } else {
        ngx_zapier_lookup_id(flight);
    }
}


/* Handlers may end any request, also those of others who wait here. */

void
ngx_zapier_lookup_tell(ngx_zapier_lookup_flight_t *flight,
    ngx_zapier_lookup_answer_t *answer)
{
    ngx_queue_t          *q;
    ngx_zapier_lookup_t  *lookup;

    /* who comes from now on is not told of what is over */

    ngx_rbtree_delete(&ngx_zapier_lookup_flights, &flight->node.node);

    while (!ngx_queue_empty(&flight->waiters)) {
        q = ngx_queue_head(&flight->waiters);
        lookup = ngx_queue_data(q, ngx_zapier_lookup_t, queue);

        ngx_zapier_lookup_cancel(lookup);
        ngx_zapier_lookup_give(lookup, answer);
    }

    ngx_zapier_lookup_destroy(flight);
}


static void
ngx_zapier_lookup_give(ngx_zapier_lookup_t *lookup,
    ngx_zapier_lookup_answer_t *answer)
{
    lookup->answer = *answer;

    if (answer->value.len != 0) {
        lookup->answer.value.data = ngx_pstrdup(lookup->pool, &answer->value);

        if (lookup->answer.value.data == NULL) {
            ngx_memzero(&lookup->answer, sizeof(ngx_zapier_lookup_answer_t));
            lookup->answer.result = NGX_ZAPIER_LOOKUP_FAILED;
        }
    }

    lookup->handler(lookup);
}


static void
ngx_zapier_lookup_destroy(ngx_zapier_lookup_flight_t *flight)
{
    ngx_zapier_redis_cancel(&flight->cmd);
    ngx_zapier_redis_eval_cancel(&flight->eval);

    if (flight->event.posted) {
        ngx_delete_posted_event(&flight->event);
    }

    if (flight->event.timer_set) {
        ngx_del_timer(&flight->event);
    }

    if (flight->page != NULL) {
        ngx_destroy_pool(flight->page);
    }

    ngx_destroy_pool(flight->pool);
}


void
ngx_zapier_lookups_exit_worker(void)
{
    ngx_queue_t                 *q;
    ngx_rbtree_node_t           *node;
    ngx_zapier_lookup_flight_t  *flight;

    while (ngx_zapier_lookup_flights.root != NULL
           && ngx_zapier_lookup_flights.root != &ngx_zapier_lookup_sentinel)
    {
        node = ngx_zapier_lookup_flights.root;
        flight = ngx_rbtree_data(node, ngx_zapier_lookup_flight_t, node.node);

        while (!ngx_queue_empty(&flight->waiters)) {
            q = ngx_queue_head(&flight->waiters);
            ngx_zapier_lookup_cancel(ngx_queue_data(q, ngx_zapier_lookup_t,
                                                    queue));
        }

        ngx_rbtree_delete(&ngx_zapier_lookup_flights, node);
        ngx_zapier_lookup_destroy(flight);
    }
}
