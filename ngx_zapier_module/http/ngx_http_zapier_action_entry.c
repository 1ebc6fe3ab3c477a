
/*
 * Entries of actions that are in Redis, as this worker has read them: a
 * schema is compiled once, not for each request.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_http_zapier_action.h>


/* entries of a worker, at most */
#define NGX_HTTP_ZAPIER_ACTION_ENTRIES  256


typedef struct {
    ngx_str_node_t             node;       /* by its name */
    ngx_queue_t                queue;      /* head: most recently used */
    ngx_pool_t                *pool;
    ngx_str_t                  text;
    ngx_zapier_action_t        action;
    ngx_uint_t                 used;       /* by so many requests */
    ngx_uint_t                 dropped;    /* there is another one by now */
} ngx_http_zapier_entry_t;


static ngx_http_zapier_entry_t *ngx_http_zapier_action_find_entry(
    ngx_str_t *name, ngx_str_t *text, uint32_t hash);
static ngx_int_t ngx_http_zapier_action_read_entry(ngx_str_t *name,
    ngx_str_t *text, uint32_t hash, ngx_http_zapier_entry_t **entry);
static void ngx_http_zapier_action_release(void *data);
static void ngx_http_zapier_action_drop(ngx_http_zapier_entry_t *entry);


static ngx_rbtree_t       ngx_http_zapier_action_tree;
static ngx_rbtree_node_t  ngx_http_zapier_action_sentinel;
static ngx_queue_t        ngx_http_zapier_action_queue;
static ngx_uint_t         ngx_http_zapier_action_entries;


ngx_int_t
ngx_http_zapier_action_parsed(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *text, ngx_zapier_action_t **action)
{
    uint32_t                  hash;
    ngx_int_t                 rc;
    ngx_pool_cleanup_t       *cln;
    ngx_http_zapier_entry_t  *entry;

    if (ngx_http_zapier_action_queue.next == NULL) {
        ngx_queue_init(&ngx_http_zapier_action_queue);
        ngx_rbtree_init(&ngx_http_zapier_action_tree,
                        &ngx_http_zapier_action_sentinel,
                        ngx_str_rbtree_insert_value);
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    hash = ngx_crc32_short(name->data, name->len);

    entry = ngx_http_zapier_action_find_entry(name, text, hash);

    if (entry == NULL) {
        rc = ngx_http_zapier_action_read_entry(name, text, hash, &entry);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    entry->used++;

    cln->handler = ngx_http_zapier_action_release;
    cln->data = entry;

    *action = &entry->action;

    return NGX_OK;
}


static ngx_http_zapier_entry_t *
ngx_http_zapier_action_find_entry(ngx_str_t *name, ngx_str_t *text,
    uint32_t hash)
{
    ngx_str_node_t           *node;
    ngx_http_zapier_entry_t  *entry;

    node = ngx_str_rbtree_lookup(&ngx_http_zapier_action_tree, name, hash);

    if (node == NULL) {
        return NULL;
    }

    entry = ngx_rbtree_data(&node->node, ngx_http_zapier_entry_t, node.node);

    if (entry->text.len != text->len
        || ngx_memcmp(entry->text.data, text->data, text->len) != 0)
    {
        ngx_http_zapier_action_drop(entry);
        return NULL;
    }

    ngx_queue_remove(&entry->queue);
    ngx_queue_insert_head(&ngx_http_zapier_action_queue, &entry->queue);

    return entry;
}


static ngx_int_t
ngx_http_zapier_action_read_entry(ngx_str_t *name, ngx_str_t *text,
    uint32_t hash, ngx_http_zapier_entry_t **entryp)
{
    ngx_int_t                 rc;
    ngx_str_t                 where, why;
    ngx_pool_t               *pool;
    ngx_queue_t              *q;
    ngx_http_zapier_entry_t  *entry;

    pool = ngx_create_pool(2048, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    entry = ngx_pcalloc(pool, sizeof(ngx_http_zapier_entry_t));
    if (entry == NULL) {
        goto failed;
    }

    entry->text.len = text->len;
    entry->text.data = ngx_pstrdup(pool, text);
    if (entry->text.data == NULL) {
        goto failed;
    }

    rc = ngx_zapier_action_entry(pool, name, text, &entry->action, &where,
                                 &why);

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "the entry of action \"%V\" in Redis is at fault: "
                      "%V%s%V", name, &where, where.len ? ": " : "", &why);
    }

    if (rc != NGX_OK) {
        goto failed;
    }

    if (ngx_http_zapier_action_entries >= NGX_HTTP_ZAPIER_ACTION_ENTRIES) {
        q = ngx_queue_last(&ngx_http_zapier_action_queue);

        ngx_http_zapier_action_drop(ngx_queue_data(q, ngx_http_zapier_entry_t,
                                                   queue));
    }

    entry->pool = pool;
    entry->node.node.key = hash;
    entry->node.str = entry->action.name;

    ngx_rbtree_insert(&ngx_http_zapier_action_tree, &entry->node.node);
    ngx_queue_insert_head(&ngx_http_zapier_action_queue, &entry->queue);

    ngx_http_zapier_action_entries++;

    *entryp = entry;

    return NGX_OK;

failed:

    ngx_destroy_pool(pool);

    return rc;
}


/* The request is over. */

static void
ngx_http_zapier_action_release(void *data)
{
    ngx_http_zapier_entry_t *entry = data;

    if (--entry->used == 0 && entry->dropped) {
        ngx_destroy_pool(entry->pool);
    }
}


static void
ngx_http_zapier_action_drop(ngx_http_zapier_entry_t *entry)
{
    ngx_rbtree_delete(&ngx_http_zapier_action_tree, &entry->node.node);
    ngx_queue_remove(&entry->queue);

    ngx_http_zapier_action_entries--;

    entry->dropped = 1;

    if (entry->used == 0) {
        ngx_destroy_pool(entry->pool);
    }
}


void
ngx_http_zapier_action_exit_worker(void)
{
    ngx_queue_t  *q;

    while (ngx_http_zapier_action_queue.next != NULL
           && !ngx_queue_empty(&ngx_http_zapier_action_queue))
    {
        q = ngx_queue_head(&ngx_http_zapier_action_queue);

        ngx_http_zapier_action_drop(ngx_queue_data(q, ngx_http_zapier_entry_t,
                                                   queue));
    }
}
