
/*
 * Limits on a clock that stands still, above a table that is a plain list:
 * chains, the mirrored view, the gate, memory running out.
 */

#include <unit.h>
#include <sys/time.h>

#include <ngx_zapier_limit.c>
#include <ngx_zapier_limit_entry.c>
#include <ngx_zapier_limit_gate.c>
#include <ngx_zapier_limit_count.c>
#include <ngx_zapier_limit_observe.c>
#include <ngx_zapier_limit_news_text.c>
#include <ngx_zapier_limit_mirror.c>
#include <ngx_zapier_limit_view.c>
#include <ngx_zapier_limit_lease.c>
#include <ngx_zapier_limit_share.c>


#define UNSET  NGX_ZAPIER_RATELIMIT_UNSET
#define EPOCH  1800000000


static uint64_t                 clock_ms;     /* since the test began */
static uint64_t                 wall_ms;      /* at clock 0 */
static ngx_time_t               cached;

static ngx_zapier_shm_node_t   *nodes;
static ngx_int_t                memory;       /* allocations left */
static ngx_uint_t               locked;
static long                     dice;
static char                     news[NGX_ZAPIER_LIMIT_NEWS_LEN + 1];
static ngx_uint_t               ntold;

static ngx_log_t                log_;
static ngx_slab_pool_t          shpool;
static ngx_zapier_shm_t         shm;
static ngx_zapier_limits_t      limits;

static ngx_zapier_limit_zone_t  ip, partner, tenant, mirror;
static ngx_zapier_limit_claim_t claim;
static ngx_zapier_limit_scope_t scopes[NGX_ZAPIER_LIMIT_CHAIN + 1];
static ngx_uint_t  given_back;

static ngx_zapier_limit_shared_t  shared;


/* what the layers below would be */

ngx_int_t
ngx_zapier_limit_ask(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_claim_t *c)
{
    (void) chain;
    (void) c;

    return NGX_ERROR;
}


void
ngx_zapier_limit_ask_cancel(ngx_zapier_limit_claim_t *c)
{
    (void) c;
}


void
ngx_zapier_limit_give_back(ngx_zapier_limits_t *l,
    ngx_zapier_limit_claim_t *c, ngx_uint_t mask)
{
    (void) l;
    (void) c;

    given_back = mask;
}


void
ngx_zapier_limit_news_tell(ngx_zapier_limits_t *l,
    ngx_zapier_limit_scope_t *s, ngx_zapier_limit_item_t *item)
{
    (void) l;

    ngx_str_set(&item->node, "n");
    ngx_str_null(&item->tag);
    item->zone = s->zone->name;
    item->key = s->key;

    news[ngx_zapier_limit_news_format((u_char *) news, item)] = '\0';
    ntold++;
}


ngx_zapier_limit_scope_t *
ngx_zapier_limit_right_due(ngx_zapier_limit_chain_t *chain)
{
    (void) chain;

    return NULL;
}


ngx_int_t
ngx_zapier_limit_right_ask(ngx_zapier_limits_t *l,
    ngx_zapier_limit_claim_t *c, ngx_zapier_limit_scope_t *s)
{
    (void) l;
    (void) c;
    (void) s;

    return NGX_ERROR;
}


void
ngx_zapier_limit_right_cancel(ngx_zapier_limit_claim_t *c)
{
    (void) c;
}


void
ngx_zapier_limit_right_drop(ngx_zapier_limits_t *l,
    ngx_zapier_limit_claim_t *c)
{
    (void) l;
    (void) c;
}


int
clock_gettime(clockid_t id, struct timespec *ts)
{
    (void) id;

    ts->tv_sec = (time_t) (clock_ms / 1000);
    ts->tv_nsec = (long) (clock_ms % 1000) * 1000000;

    return 0;
}


int
gettimeofday(struct timeval *tv, void *tz)
{
    (void) tz;

    tv->tv_sec = (time_t) ((wall_ms + clock_ms) / 1000);
    tv->tv_usec = (suseconds_t) ((wall_ms + clock_ms) % 1000) * 1000;

    return 0;
}


long
random(void)
{
    return dice;
}


void
ngx_shmtx_lock(ngx_shmtx_t *mtx)
{
    (void) mtx;
    locked++;
}


void
ngx_shmtx_unlock(ngx_shmtx_t *mtx)
{
    (void) mtx;
    locked--;
}


uint32_t
ngx_zapier_shm_hash(ngx_zapier_shm_t *s, u_char *data, size_t len)
{
    uint32_t  h;

    (void) s;

    for (h = 0; len--; h = h * 31 + *data++) { /* void */ }

    return h % 4;
}


void *
ngx_zapier_shm_data(ngx_zapier_shm_table_t *table)
{
    (void) table;

    return &shared;
}


ngx_int_t
ngx_zapier_shm_table_add(ngx_zapier_shm_t *s, ngx_zapier_shm_table_t *table)
{
    table->shm = s;

    return NGX_OK;
}


ngx_zapier_shm_node_t *
ngx_zapier_shm_lookup(ngx_zapier_shm_table_t *table, uint32_t hash,
    u_char *key, size_t len)
{
    ngx_zapier_shm_node_t  *node;

    (void) table;

    for (node = nodes; node; node = node->next) {
        if (node->hash == hash
            && node->key_len == len
            && ngx_memcmp(ngx_zapier_shm_key(node), key, len) == 0)
        {
            break;
        }
    }

    return node;
}


static void
forget(ngx_zapier_shm_node_t *node)
{
    ngx_zapier_shm_node_t  **pp;

    for (pp = &nodes; *pp != node; pp = &(*pp)->next) { /* void */ }

    *pp = node->next;

    free(node);
}


static void *
allocate(ngx_zapier_shm_table_t *table, size_t size,
    ngx_zapier_shm_node_t *keep)
{
    ngx_zapier_shm_node_t  *node;

    if (memory == 0) {
        for (node = nodes; node; node = node->next) {
            if (node != keep && table->evict(table, node) == NGX_OK) {
                forget(node);
                return calloc(1, size);
            }
        }

        return NULL;
    }

    memory--;

    return calloc(1, size);
}


ngx_zapier_shm_node_t *
ngx_zapier_shm_insert(ngx_zapier_shm_table_t *table, uint32_t hash,
    u_char *key, size_t len, size_t size)
{
    ngx_zapier_shm_node_t  *node;

    node = allocate(table, size + len, NULL);
    if (node == NULL) {
        return NULL;
    }

    node->hash = hash;
    node->key_len = (uint16_t) len;
    node->size = (uint16_t) size;
    node->next = nodes;
    nodes = node;

    ngx_memcpy(ngx_zapier_shm_key(node), key, len);

    return node;
}


void *
ngx_zapier_shm_alloc(ngx_zapier_shm_table_t *table, size_t size,
    ngx_zapier_shm_node_t *keep)
{
    return allocate(table, size, keep);
}


void
ngx_zapier_shm_free(ngx_zapier_shm_table_t *table, void *p)
{
    (void) table;
    free(p);
}


/* the frame */

static void
zone_init(ngx_zapier_limit_zone_t *zone, const char *name, uint32_t limit,
    uint32_t window, ngx_flag_t mirrored)
{
    zone->name.len = ngx_strlen(name);
    zone->name.data = (u_char *) name;
    zone->limit = limit;
    zone->window = window;
    zone->cooldown = 60000;
    zone->mirror = mirrored;
}


static void
fresh(void)
{
    ngx_zapier_shm_node_t     *node;
    ngx_zapier_limit_entry_t  *entry;

    while ((node = nodes) != NULL) {
        entry = (ngx_zapier_limit_entry_t *) node;
        free(entry->window.slots);
        forget(node);
    }

    memory = 1000000;
    clock_ms = 5000000;
    wall_ms = (uint64_t) EPOCH * 1000 - clock_ms;

    zone_init(&ip, "ip", 3, 60000, 0);
    zone_init(&partner, "partner", 5, 60000, 0);
    zone_init(&tenant, "tenant", 4, 1000, 0);
    zone_init(&mirror, "mirror", 0, 0, 1);

    ngx_memzero(&claim, sizeof(ngx_zapier_limit_claim_t));
    ngx_memzero(scopes, sizeof(scopes));
    claim.scopes = scopes;
    log_.log_level = 0;
    claim.log = &log_;

    shm.shpool = &shpool;
    limits.shm = &shm;
    (void) ngx_zapier_limits_init(NULL, &limits);
}


static void
scope(ngx_zapier_limit_claim_t *c, ngx_zapier_limit_zone_t *zone,
    const char *key)
{
    ngx_zapier_limit_scope_t  *s;

    s = &c->scopes[c->nscopes++];

    s->zone = zone;
    s->key.len = ngx_strlen(key);
    s->key.data = (u_char *) key;
    s->units = 1;
    s->hash = 0;
    s->charged = 0;
}


/* the claim as it is now, while another one is made */

static ngx_zapier_limit_claim_t
kept(void)
{
    ngx_zapier_limit_claim_t  c;

    static ngx_uint_t                n;
    static ngx_zapier_limit_scope_t  of[4][NGX_ZAPIER_LIMIT_CHAIN + 1];

    c = claim;
    c.scopes = of[n++ % 4];
    ngx_memcpy(c.scopes, scopes, sizeof(scopes));

    return c;
}


static void
again(ngx_zapier_limit_claim_t *c)
{
    claim = *c;
    claim.scopes = scopes;
    ngx_memcpy(scopes, c->scopes, sizeof(scopes));
}


/* a chain of one */

static void
only(ngx_zapier_limit_zone_t *zone, const char *key)
{
    claim.nscopes = 0;
    scope(&claim, zone, key);
}


static ngx_int_t
passes(void)
{
    is_int(ngx_zapier_limit_start(&limits, &claim), NGX_OK, "start");
    is_int(locked, 0, "unlocked");

    return claim.verdict == NGX_ZAPIER_LIMIT_PASSED;
}


static ngx_int_t
peek_passes(void)
{
    ngx_int_t                 passes;
    ngx_zapier_limit_claim_t  c;

    c = claim;
    passes = (ngx_zapier_limit_peek(&limits, &c) == NGX_OK);

    if (!passes && c.verdict != NGX_ZAPIER_LIMIT_UNKNOWN) {
        is_int(ngx_zapier_limit_suspect(&limits, &c), 1, "suspected");
    }

    return passes;
}


static void
answer(ngx_uint_t status, int64_t limit, int64_t remaining, int64_t reset,
    int64_t retry_after)
{
    ngx_zapier_ratelimit_t  rl;

    rl.limit = limit;
    rl.remaining = remaining;
    rl.reset = reset;
    rl.reset_at = UNSET;
    rl.retry_after = retry_after;

    if (reset >= 1000000000) {
        rl.reset = reset - (int64_t) (wall_ms + clock_ms) / 1000;
        rl.reset = ngx_max(rl.reset, 0);
        rl.reset_at = rl.reset ? reset : UNSET;
    }

    cached.sec = (time_t) ((wall_ms + clock_ms) / 1000);
    ngx_cached_time = &cached;

    ngx_zapier_limit_observe(&limits, &claim, status, &rl);
}


/* tests */

static void
window(void)
{
    fresh();
    only(&ip, "192.0.2.1");
    clock_ms += 300;

    ok(peek_passes(), "nothing is known to be closed");
    ok(nodes == NULL, "a peek creates nothing");
    ok(passes(), "first");
    is_int(claim.view.limit, 3, "limit");
    is_int(claim.view.remaining, 2, "remaining");
    is_int(claim.view.reset, EPOCH + 61, "reset rounded up");
    is_int(claim.view.retry_after, 0, "no Retry-After");
    ok(claim.view.zone == &ip, "the zone that binds");

    clock_ms += 500;
    ok(passes(), "second");
    ok(peek_passes(), "a peek charges nothing");
    ok(passes(), "third");
    is_int(claim.view.remaining, 0, "none is left");
    ok(!peek_passes(), "a peek sees it");
    ok(!passes(), "fourth is refused");
    is_int(claim.view.retry_after, 60, "Retry-After rounded up");
    is_int(claim.view.remaining, 0, "remaining of a refused call");
    is_int(claim.view.reset, EPOCH + 61,
           "reset does not become 0 after a reject (APISIX 9978)");

    clock_ms += 59000;
    ok(!passes(), "early");
    is_int(claim.view.retry_after, 1, "Retry-After is never 0");

    clock_ms += 500;
    ok(!passes(), "a window later in cut milliseconds may be early");
    clock_ms += 1;
    ok(passes(), "a whole window later");
    is_int(claim.view.remaining, 0, "two are still counted");

    ip.limit = 2;
    clock_ms += 501;
    ok(passes(), "two have run out");
    ok(!passes(), "a smaller limit applies at once");
    ip.limit = 10;
    ok(passes(), "so does a greater one");
    is_int(claim.view.remaining, 7, "with what was counted before");

    answer(200, UNSET, UNSET, UNSET, UNSET);
    is_int(claim.view.remaining, 7, "an answer that tells nothing");
    clock_ms += 70000;
    answer(200, UNSET, UNSET, UNSET, UNSET);
    is_int(claim.view.remaining, 10, "and one that took too long");
    is_int(claim.view.reset, EPOCH + 131, "its reset is not past");

    ok(passes() && passes() && passes(), "three more");
    claim.scopes[0].units = 11;
    ok(!passes(), "more than ever fits");
    is_int(claim.view.retry_after, 60, "may ask again after a window");
    is_int(claim.view.remaining, 7, "but seven are left");
}


static void
chains(void)
{
    ngx_uint_t  n;

    fresh();
    scope(&claim, &ip, "192.0.2.1");
    scope(&claim, &partner, "p");
    scope(&claim, &tenant, "acme");

    for (n = 0; n < 3; n++) {
        ok(passes(), "chain");
    }

    ok(claim.view.zone == &ip, "the scope with the least left binds");
    is_int(claim.view.remaining, 0, "all three used");
    ok(!passes(), "one scope refuses");
    ok(claim.view.zone == &ip, "and is named");
    is_int(claim.view.retry_after, 60, "with its time");

    only(&tenant, "acme");
    ok(passes(), "rejected calls consume nothing (Kong)");
    is_int(claim.view.remaining, 0, "three and this one");

    claim.nscopes = 0;
    scope(&claim, &ip, "192.0.2.1");
    scope(&claim, &tenant, "acme");
    ok(!passes(), "two refuse");
    ok(claim.view.zone == &ip, "the one that takes longest binds");

    claim.nscopes = 0;
    scope(&claim, &tenant, "acme");
    scope(&claim, &ip, "192.0.2.1");
    ok(!passes(), "in either order");
    ok(claim.view.zone == &ip, "the one that takes longest binds");

    fresh();
    ip.limit = partner.limit = 7;
    scope(&claim, &partner, "p");
    scope(&claim, &ip, "192.0.2.1");
    ok(passes(), "equal scopes");
    ok(claim.view.zone == &partner, "the broadest of equals binds");

    scope(&claim, &partner, "p");
    ok(passes(), "a scope that comes twice");
    is_int(claim.view.remaining, 5, "is charged once");
    ngx_zapier_limit_return(&limits, &claim);
    ok(passes(), "and");
    is_int(claim.view.remaining, 5, "returned once");
}


static void
keys(void)
{
    ngx_uint_t                n;
    ngx_zapier_limit_zone_t   a, ab;

    fresh();
    zone_init(&a, "a", 1, 60000, 0);
    zone_init(&ab, "ab", 1, 60000, 0);

    only(&a, "bc");
    ok(passes(), "zone a, key bc");
    only(&ab, "c");
    ok(passes(), "zone ab, key c: scope keys do not collide (Traefik 11753)");
    only(&a, "bcd");
    ok(passes(), "a longer key");
    only(&a, "");
    ok(passes(), "an empty key");
    only(&a, "bc");
    claim.scopes[0].key.data = (u_char *) "b\0c";
    claim.scopes[0].key.len = 3;
    claim.scopes[0].hash = 0;
    ok(passes(), "a key with NUL");
    claim.scopes[0].key.data = (u_char *) "b\0d";
    claim.scopes[0].hash = 0;
    ok(passes(), "another one (keyval 0.5.0)");

    claim.scopes[0].key.len = 256;
    ok(!passes(), "a key that is too long");
    is_int(claim.verdict, NGX_ZAPIER_LIMIT_UNKNOWN, "is not counted");

    claim.nscopes = 0;
    for (n = 0; n < NGX_ZAPIER_LIMIT_CHAIN; n++) {
        scope(&claim, &a, &"abcdefgh"[n]);
    }
    ok(passes(), "a chain of full length");
}


static void
returns(void)
{
    ngx_zapier_limit_claim_t  other;

    fresh();
    scope(&claim, &ip, "192.0.2.1");
    scope(&claim, &partner, "p");

    ok(passes(), "first");
    other = kept();
    clock_ms += 10;
    ok(passes(), "second");

    ngx_zapier_limit_return(&limits, &other);
    ngx_zapier_limit_return(&limits, &other);
    ok(passes(), "third");
    is_int(claim.view.remaining, 1, "a second return does nothing");

    ngx_zapier_limit_cancel(&limits, &claim);
    ok(passes(), "cancel returns");
    is_int(claim.view.remaining, 1, "what was charged");

    ok(passes(), "the last one");
    other = kept();
    ok(!passes(), "refused");
    ngx_zapier_limit_return(&limits, &claim);
    ok(!passes(), "a refused claim returns nothing");
    ngx_zapier_limit_return(&limits, &other);
    ok(passes(), "the charged one does");

    other = kept();
    clock_ms += 120000;
    ok(passes(), "all is forgotten");
    ngx_zapier_limit_return(&limits, &other);
    ok(passes(), "a late return");
    is_int(claim.view.remaining, 1, "is harmless");

    ngx_zapier_limit_charge(&limits, &claim, 3);
    is_int(peek_passes(), 0, "more calls than claimed are charged");
    ngx_zapier_limit_charge(&limits, &claim, 0);
    ngx_zapier_limit_charge(&limits, &claim, 5000000000);
    clock_ms += 60001;
    ok(passes(), "for a window");
}


static void
view(void)
{
    ngx_zapier_limit_claim_t  other;

    fresh();
    only(&mirror, "acme");
    clock_ms += 700;

    ok(passes(), "nothing is known");
    ok(claim.view.zone == NULL, "so nothing is told");
    ok(nodes == NULL, "and nothing is kept");

    answer(200, UNSET, UNSET, UNSET, UNSET);
    answer(200, 60, UNSET, EPOCH + 30, UNSET);
    answer(200, 60, 10, EPOCH - 1, UNSET);
    answer(503, 60, UNSET, UNSET, UNSET);
    ok(nodes == NULL, "answers that tell nothing for the time to come");

    answer(200, 60, 5, EPOCH + 30, UNSET);
    is_int(claim.view.limit, 60, "limit");
    is_int(claim.view.remaining, 5, "remaining");
    is_int(claim.view.reset, EPOCH + 30, "an epoch comes out as it went in");

    clock_ms += 100;
    ok(passes(), "our own call");
    is_int(claim.view.remaining, 4, "counts");
    is_int(claim.view.reset, EPOCH + 30, "the same reset");
    other = kept();

    answer(200, 60, 50, EPOCH + 30, UNSET);
    is_int(claim.view.remaining, 4, "never loosened");
    answer(200, 100, 3, EPOCH + 20, UNSET);
    is_int(claim.view.remaining, 3, "tightened");
    is_int(claim.view.limit, 60, "the least limit");
    is_int(claim.view.reset, EPOCH + 30, "never a nearer reset");
    answer(200, 60, 2, UNSET, UNSET);
    is_int(claim.view.remaining, 2, "without Reset too");
    answer(200, 60, 0, EPOCH - 5, UNSET);
    is_int(claim.view.remaining, 2, "a late answer changes nothing");

    ngx_zapier_limit_return(&limits, &other);
    clock_ms += 1;
    ok(passes(), "a return does not loosen what was told since");
    is_int(claim.view.remaining, 1, "so one was taken from two");
    ngx_zapier_limit_return(&limits, &claim);
    ok(passes(), "a return of what was charged since");
    is_int(claim.view.remaining, 1, "gives back");

    answer(200, 60, 59, EPOCH + 90, UNSET);
    is_int(claim.view.remaining, 1, "the window after ours is not in force");
    ok(passes(), "the last of ours");
    ok(!passes(), "used up");
    is_int(claim.view.remaining, 0, "none left");
    is_int(claim.view.retry_after, 30, "until reset");
    is_int(claim.view.reset, EPOCH + 30, "of our window");

    clock_ms = 5000000 + 29999;
    ok(!passes(), "a ms before");
    is_int(claim.view.retry_after, 1, "at least 1");
    clock_ms++;
    ok(passes(), "at reset");
    is_int(claim.view.remaining, 57, "the next window, less a call of ours");
    is_int(claim.view.reset, EPOCH + 90, "and its reset");

    answer(200, 60, 57, EPOCH + 30, UNSET);
    clock_ms += 60000;
    ok(passes(), "after that");
    ok(claim.view.zone == NULL, "nothing is known");
    answer(200, UNSET, 7, 10, UNSET);
    is_int(claim.view.limit, -1, "a limit that was not told");
    is_int(claim.view.remaining, 7, "what was");
    is_int(claim.view.reset, EPOCH + 100, "a delta");

    clock_ms += 10000;
    answer(200, 5, 100, 10, UNSET);
    is_int(claim.view.remaining, 5, "not more than the limit");
    answer(200, 3, UNSET, UNSET, UNSET);
    is_int(claim.view.remaining, 3, "a smaller limit alone tightens");
    is_int(claim.view.limit, 3, "and is told");
    answer(200, UNSET, 0x7fffffffffffffffLL, 11, UNSET);
    is_int(claim.view.remaining, 3, "2^63 does not overflow (kjdev)");
    clock_ms += 10000;
    ok(passes(), "then");
    is_int(claim.view.remaining, 0xfffffffd, "much");
}


/* an upstream whose Reset is always a window ahead */

static void
sliding(void)
{
    ngx_uint_t  n, refused;

    fresh();
    only(&mirror, "acme");
    refused = 0;

    for (n = 0; n < 600; n++) {
        (void) ngx_zapier_limit_start(&limits, &claim);

        if (claim.verdict == NGX_ZAPIER_LIMIT_PASSED) {
            answer(200, 60, n < 29 ? 59 - n : 30, 60, UNSET);

        } else {
            refused++;
        }

        clock_ms += 2000;
    }

    is_int(refused, 0, "half the quota of a sliding upstream is not refused");
}


static void
gate(void)
{
    fresh();
    only(&mirror, "acme");

    ok(passes(), "open");
    answer(429, UNSET, UNSET, UNSET, 30);
    is_int(claim.view.retry_after, 30, "the answer itself tells");
    is_int(claim.view.remaining, 0, "that none is left");
    is_int(claim.view.limit, -1, "of an unknown limit");
    ok(!passes(), "Retry-After closes it");
    is_int(claim.view.retry_after, 30, "for so long");
    is_int(claim.view.reset, EPOCH + 30, "which is the reset");
    ok(!peek_passes(), "one waits, and so do the rest (octokit 629)");

    answer(429, UNSET, UNSET, UNSET, 5);
    ok(!passes(), "closed");
    is_int(claim.view.retry_after, 30,
           "a shorter Retry-After does not shorten (LiteLLM 40130)");
    answer(503, UNSET, UNSET, UNSET, 45);
    ok(!passes(), "closed");
    is_int(claim.view.retry_after, 45, "a longer one extends, on 503 too");
    answer(200, 60, 59, EPOCH + 10, UNSET);
    ok(!passes(), "a late 200 does not open it");

    clock_ms += 44999;
    ok(!passes(), "a ms early");
    clock_ms++;
    ok(passes(), "open again");
    answer(200, UNSET, UNSET, UNSET, UNSET);

    answer(503, UNSET, UNSET, UNSET, UNSET);
    ok(passes(), "a bare 503 does not close it");
    answer(500, UNSET, UNSET, UNSET, 100);
    ok(passes(), "nor a 500");
    answer(200, UNSET, UNSET, UNSET, 100);
    ok(passes(), "nor a 200");

    answer(429, UNSET, UNSET, UNSET, UNSET);
    ok(!passes(), "a bare 429");
    is_int(claim.view.retry_after, 60,
           "an empty Retry-After means the cooldown (nirn 9f3427e)");

    fresh();
    only(&mirror, "acme");
    clock_ms += 300;
    answer(429, 60, 0, EPOCH + 20, UNSET);
    ok(!passes(), "Reset closes it");
    is_int(claim.view.retry_after, 20, "until then, rounded up");
    is_int(claim.view.reset, EPOCH + 20, "as it was told");
    is_int(claim.view.limit, 60, "with the limit");

    fresh();
    only(&mirror, "acme");
    answer(429, 60, 0, EPOCH + 50, 2);
    is_int(claim.view.reset, EPOCH + 50, "what was told is shown");
    is_int(claim.view.retry_after, 2, "but Retry-After wins");
    clock_ms += 2000;
    ok(passes(), "and opens it");

    answer(429, UNSET, UNSET, EPOCH - 7, UNSET);
    ok(!passes(), "a Reset that is past");
    is_int(claim.view.retry_after, 60, "is as good as none");

    fresh();
    only(&mirror, "acme");
    answer(429, UNSET, UNSET, UNSET, 0);
    ok(!passes(), "a Retry-After of 0");
    is_int(claim.view.retry_after, 1, "is 1");

    fresh();
    only(&mirror, "acme");
    answer(200, 60, 0, UNSET, UNSET);
    is_int(claim.view.retry_after, 0, "a 200 has no Retry-After");
    ok(!passes(), "a Remaining of 0 without Reset");
    is_int(claim.view.retry_after, 60, "closes it for the cooldown");

    mirror.mirror = 0;
    ok(passes(), "a zone that is no longer mirrored");
}


/* the gate's time is over, and one call shows whether it is */

static void
probe(void)
{
    ngx_zapier_limit_claim_t  first, second;

    fresh();
    only(&mirror, "acme");
    dice = 10007;
    answer(429, UNSET, UNSET, UNSET, 32);
    clock_ms += 31000;
    ok(!passes(), "closed");
    is_int(claim.view.retry_after, 1, "for as long as was told");
    clock_ms += 1000;
    ok(!passes(), "it opens a little later");
    is_int(claim.view.retry_after, 1, "and says so");
    clock_ms += 10007 % 1001 - 1;
    ok(!passes(), "a ms early");
    clock_ms++;
    ok(peek_passes(), "nobody is on the way");
    ok(passes(), "the probe");
    ok(claim.view.zone == NULL, "is told nothing of the gate");
    first = kept();
    ok(!passes(), "the next one is refused");
    is_int(claim.view.retry_after, 1, "shortly");
    ok(!peek_passes(), "before its body, too");

    again(&first);
    ngx_zapier_limit_return(&limits, &claim);
    ok(passes(), "a probe that was not sent makes room");
    ngx_zapier_limit_done(&limits, &claim);
    ok(passes(), "and so does one that got no answer");
    first = kept();

    clock_ms += 4999;
    ok(!passes(), "it is waited for");
    clock_ms++;
    ok(passes(), "but not for ever: another probe");
    second = kept();
    again(&first);
    ngx_zapier_limit_done(&limits, &claim);
    ok(!passes(), "the old one does not make room any more");
    again(&second);
    answer(429, UNSET, UNSET, UNSET, 3);
    ok(!passes(), "refused: closed again");
    is_int(claim.view.retry_after, 3, "until then");

    dice = 0;
    clock_ms += 3000 + 10007 % 188;
    again(&first);
    answer(200, UNSET, UNSET, UNSET, UNSET);
    ok(passes(), "an answer to a probe of before is none to this");
    first = kept();
    ok(!passes(), "there is one");
    again(&first);
    answer(200, UNSET, UNSET, UNSET, UNSET);
    ok(passes(), "answered: open for all");
    ok(passes(), "for all");

    answer(429, UNSET, UNSET, UNSET, 2);
    clock_ms += 2000;
    ok(passes(), "a probe");
    first = kept();
    answer(503, UNSET, UNSET, UNSET, UNSET);
    ok(passes(), "any other answer opens it");

    answer(429, UNSET, UNSET, UNSET, 2);
    clock_ms += 62000;
    ok(passes(), "a minute after the gate has opened");
    ok(passes(), "there is nobody to hold back");
}


/* the upstream counts otherwise */

static ngx_uint_t
counted(ngx_zapier_limit_zone_t *zone, ngx_zapier_limit_counter_e counter)
{
    return ngx_zapier_limit_counted(&limits, zone, counter);
}


static void
uncount(void)
{
    ngx_zapier_limit_counts_t  *counts;

    while (shared.counts) {
        counts = shared.counts;
        shared.counts = counts->next;
        free(counts);
    }

    ip.counts = NULL;
    partner.counts = NULL;
    tenant.counts = NULL;
    mirror.counts = NULL;
}


static void
drift(void)
{
    fresh();
    uncount();

    only(&mirror, "acme");
    ok(passes(), "a call");
    answer(429, UNSET, UNSET, UNSET, 2);
    is_int(counted(&mirror, NGX_ZAPIER_LIMIT_COUNT_DRIFT_REFUSED), 0,
           "nothing was known");
    is_int(counted(&mirror, NGX_ZAPIER_LIMIT_COUNT_CLOSED), 1, "closed once");
    clock_ms += 2000;
    ok(passes(), "a probe");
    answer(429, UNSET, UNSET, UNSET, 2);
    is_int(counted(&mirror, NGX_ZAPIER_LIMIT_COUNT_PROBES), 1, "is counted");
    is_int(counted(&mirror, NGX_ZAPIER_LIMIT_COUNT_CLOSED), 2, "closed again");
    clock_ms += 2000;
    ok(passes(), "a probe");
    answer(200, 60, 50, 30, UNSET);
    is_int(counted(&mirror, NGX_ZAPIER_LIMIT_COUNT_REOPENED), 1, "reopened");
    ok(passes(), "a call with a view");
    answer(429, UNSET, UNSET, UNSET, 2);
    is_int(counted(&mirror, NGX_ZAPIER_LIMIT_COUNT_DRIFT_REFUSED), 1,
           "that is not true");

    ip.mirror = 1;
    ip.limit = 60;
    only(&ip, "192.0.2.1");
    ok(passes(), "a call with a limit");
    answer(200, 60, UNSET, UNSET, UNSET);
    is_int(counted(&ip, NGX_ZAPIER_LIMIT_COUNT_DRIFT_LIMIT), 0, "the same");
    answer(200, 50, UNSET, UNSET, UNSET);
    is_int(counted(&ip, NGX_ZAPIER_LIMIT_COUNT_DRIFT_LIMIT), 1, "another");
    answer(429, 60, UNSET, UNSET, UNSET);
    is_int(counted(&ip, NGX_ZAPIER_LIMIT_COUNT_DRIFT_REFUSED), 1,
           "refused though much is left");

    ok(!ngx_zapier_limit_may_warn(&limits, &ip,
                                  NGX_ZAPIER_LIMIT_WARN_REFUSED, 60),
       "it was said");
    clock_ms += 60000;
    ok(ngx_zapier_limit_may_warn(&limits, &ip,
                                 NGX_ZAPIER_LIMIT_WARN_REFUSED, 60),
       "and may be said again");
}


/* what other nodes are told */

static ngx_uint_t
told_last(const char *text)
{
    ngx_uint_t  n;

    n = ntold;
    ntold = 0;

    if (n != 0 && strcmp(news, text) != 0) {
        printf("# told \"%s\"\n", news);
        return 9;
    }

    return n;
}


static void
telling(void)
{
    fresh();
    ntold = 0;
    mirror.store = NGX_ZAPIER_LIMIT_REDIS;
    only(&mirror, "a key");

    ok(passes(), "a call");
    answer(200, UNSET, UNSET, UNSET, UNSET);
    is_int(told_last(""), 0, "nothing was said");
    answer(200, 60, 50, 30, UNSET);
    is_int(told_last("1 v n 60 50 30000 - - 6 mirror a key"), 1, "a view");
    clock_ms += 199;
    answer(200, 60, 40, 30, UNSET);
    is_int(told_last(""), 0, "not too often");
    clock_ms += 1;
    answer(200, 60, 40, 30, UNSET);
    is_int(told_last(""), 0, "not what is known");
    answer(200, 60, 41, 30, UNSET);
    is_int(told_last(""), 0, "nor what is looser");
    answer(200, 60, 39, 30, UNSET);
    is_int(told_last("1 v n 60 39 30000 - - 6 mirror a key"), 1, "stricter");
    clock_ms += 200;
    answer(200, 20, UNSET, UNSET, UNSET);
    is_int(told_last(""), 0, "a limit without a time");

    answer(429, UNSET, UNSET, UNSET, 7);
    is_int(told_last("1 c n - - - 7000 - 6 mirror a key"), 1, "closed");
    clock_ms += 900;
    answer(429, UNSET, UNSET, UNSET, 7);
    is_int(told_last(""), 0, "hardly longer");
    answer(429, 60, 0, 30, 20);
    is_int(told_last("1 c n 60 0 30000 20000 - 6 mirror a key"), 1, "longer");

    clock_ms += 20000;
    ok(passes(), "a probe");
    clock_ms += 70;
    answer(200, UNSET, UNSET, UNSET, UNSET);
    is_int(told_last("1 o n - - - - 70 6 mirror a key"), 1, "open");

    mirror.store = NGX_ZAPIER_LIMIT_LOCAL;
    answer(429, UNSET, UNSET, UNSET, 7);
    is_int(told_last(""), 0, "a zone of this node alone");
}


static void
lines(void)
{
    size_t                   n;
    ngx_str_t                text;
    ngx_uint_t               i;
    ngx_zapier_limit_item_t  item;

    static const char *bad[] = {
        "", " ", "1", "1 ", "1 c", "1 c n", "2 c n - - - 9 - 1 z k",
        "1 x n - - - 9 - 1 z k", "1 cc n - - - 9 - 1 z k",
        "1 c  - - - 9 - 1 z k", "1 c n - - - 9 - 0  k", "1 c n - - - 9 - - z k",
        "1 c n - - - 9 - 2 z k", "1 c n - - - 9 - 9 z k", "1 c n - - - 9 - 1 z",
        "1 c n - - - -9 - 1 z k", "1 c n - - - 9x - 1 z k",
        "1 c n - - - 999999999999 - 1 z k", "1 c n - - - 9 - 4294967294 z k",
        "1 c nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn - - - 9 - 1 z k",
        "3 c n - - - 9 - 1 z k", "2 c n - - - 9 - 1 {t} z",
        "2 c n - - - 9 - 1 {} z k", "2 c n - - - 9 - 1 {t z k",
        "2 c n - - - 9 - 1 t} z k", "2 c n - - - 9 - 1 {t}z k",
        "2 c n - - - 9 - 1 {t}", "2 c n - - - 9 - 1 "
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        text.data = (u_char *) strdup(bad[i]);
        text.len = strlen(bad[i]);
        is_int(ngx_zapier_limit_news_parse(&text, &item), NGX_DECLINED,
               bad[i]);
        free(text.data);
    }

    ngx_str_set(&text, "1 c n 60 0 4000000000 1500 - 3 a b c d ");

    ok(ngx_zapier_limit_news_parse(&text, &item) == NGX_OK, "a line");
    is_int(item.kind, NGX_ZAPIER_LIMIT_NEWS_CLOSED, "its kind");
    is_int(item.limit, 60, "limit");
    is_int(item.reset, 86400000, "at most a day");
    is_int(item.closed, 1500, "closed");
    is_int(item.age, NGX_ZAPIER_LIMIT_UNSET, "not told");
    ok(item.zone.len == 3 && ngx_memcmp(item.zone.data, "a b", 3) == 0,
       "a zone with a space");
    ok(item.key.len == 4 && ngx_memcmp(item.key.data, "c d ", 4) == 0,
       "a key with two");

    item.reset = 1;
    n = ngx_zapier_limit_news_format((u_char *) news, &item);
    ok(n < sizeof(news) && ngx_strncmp(news, "1 c n 60 0 1 1500 - 3 a b c d ",
                                       n) == 0, "and back");

    ngx_str_set(&text, "2 c n - - - 9 - 1 {a tag} z k");

    ok(ngx_zapier_limit_news_parse(&text, &item) == NGX_OK
       && item.tag.len == 5 && ngx_memcmp(item.tag.data, "a tag", 5) == 0
       && item.zone.len == 1 && item.key.len == 1, "a tag");

    n = ngx_zapier_limit_news_format((u_char *) news, &item);
    ok(n == text.len && ngx_memcmp(news, text.data, n) == 0, "and back");
}


static void
both(void)
{
    fresh();
    ip.mirror = 1;
    only(&ip, "192.0.2.1");

    ok(passes(), "counted");
    answer(200, 60, 59, EPOCH + 30, UNSET);
    is_int(claim.view.limit, 3, "ours is stricter");
    is_int(claim.view.remaining, 2, "what is enforced is shown");
    answer(200, 60, 1, EPOCH + 30, UNSET);
    is_int(claim.view.limit, 60, "now theirs is");
    is_int(claim.view.remaining, 1, "remaining");
    is_int(claim.view.reset, EPOCH + 30, "reset");
    ok(passes(), "one");
    ok(!passes(), "two");
    is_int(claim.view.retry_after, 30, "until theirs resets");
    clock_ms += 30000;
    ok(passes(), "ours has one more");
    is_int(claim.view.remaining, 0, "the third of three");

    fresh();
    ip.limit = 100;
    ip.mirror = 1;
    scope(&claim, &ip, "192.0.2.1");
    scope(&claim, &tenant, "acme");
    ok(passes(), "chain");
    answer(429, 60, UNSET, UNSET, 9);
    ok(!passes(), "the mirrored zone of a chain is closed");
    ok(claim.view.zone == &ip, "and binds");
    is_int(claim.view.limit, 60, "the smaller limit is shown");
    only(&tenant, "acme");
    ok(passes(), "the other zone is not");
    is_int(claim.view.remaining, 2, "and counted nothing refused");
}


static void
cancelled(void)
{
    fresh();
    scope(&claim, &ip, "192.0.2.1");
    scope(&claim, &partner, "p");
    claim.scopes[1].held = 3;

    ngx_zapier_limit_cancel(&limits, &claim);

    is_int(given_back, 2, "what Redis has granted in vain goes back");
    is_int(claim.scopes[1].held, 0, "once");
}


static void
no_memory(void)
{
    ngx_zapier_limit_claim_t  other;

    fresh();
    memory = 3;
    scope(&claim, &ip, "192.0.2.1");
    scope(&claim, &tenant, "acme");

    ok(!passes(), "no memory for all of the chain");
    is_int(claim.verdict, NGX_ZAPIER_LIMIT_UNKNOWN, "unknown, not refused");
    ok(claim.view.zone == NULL, "no view");
    only(&ip, "192.0.2.1");
    ok(passes(), "nothing was charged");
    is_int(claim.view.remaining, 2, "to the first");

    memory = 1;
    only(&tenant, "b");
    ok(passes(), "the entry that restrains nobody went");
    only(&tenant, "c");
    ok(!passes(), "the others stay");
    is_int(claim.verdict, NGX_ZAPIER_LIMIT_UNKNOWN, "fail closed");
    ok(!peek_passes() || claim.verdict == NGX_ZAPIER_LIMIT_UNKNOWN, "peek");

    only(&mirror, "acme");
    ok(passes(), "a zone that only mirrors needs none");
    answer(429, UNSET, UNSET, UNSET, 10);
    ok(passes(), "what cannot be kept is lost");

    clock_ms += 1001;
    answer(429, UNSET, UNSET, UNSET, 10);
    ok(!passes(), "an entry whose window is over makes room");
    only(&tenant, "d");
    ok(!passes(), "a closed gate does not");
    is_int(claim.verdict, NGX_ZAPIER_LIMIT_UNKNOWN, "so unknown");
    clock_ms += 11000;
    ok(!passes(), "nor one that is to let a probe in first");
    clock_ms += 59999;
    ok(passes(), "until nobody comes because of it");

    fresh();
    memory = 2;
    tenant.limit = 20;
    only(&tenant, "acme");
    other = kept();

    while (passes()) {
        clock_ms++;
    }

    is_int(claim.view.remaining, 0, "with four slots 20 calls are counted");
    is_int(claim.verdict, NGX_ZAPIER_LIMIT_REJECTED, "and the next refused");
    ngx_zapier_limit_return(&limits, &other);
}


/* random answers and calls: the view only ever falls until it resets */

static void
monotonic(void)
{
    int64_t     last;
    uint64_t    reset;
    ngx_uint_t  n, loosened, wrong, left;

    fresh();
    only(&mirror, "acme");
    srandom(7);
    loosened = 0;
    wrong = 0;
    last = NGX_MAX_INT_T_VALUE;
    reset = 0;

    for (n = 0; n < 200000; n++) {
        clock_ms += random() % 300;

        if (random() % 3) {
            answer(200, random() % 50 ? 60 : UNSET, random() % 60,
                   (int64_t) (wall_ms + clock_ms) / 1000 + random() % 40 - 5,
                   UNSET);

        } else {
            (void) ngx_zapier_limit_start(&limits, &claim);
        }

        if (clock_ms < reset && (claim.view.zone == NULL
                                 || claim.view.remaining > last))
        {
            loosened++;
        }

        if (claim.view.zone != NULL) {
            if (clock_ms >= reset || claim.view.remaining <= last) {
                reset = (uint64_t) claim.view.reset * 1000 - wall_ms;
            }

            last = claim.view.remaining;

        } else {
            last = NGX_MAX_INT_T_VALUE;
        }

        if (n % 100 == 0 && claim.view.zone != NULL) {
            for (left = 0; left <= 70; left++) {
                (void) ngx_zapier_limit_start(&limits, &claim);

                if (claim.verdict != NGX_ZAPIER_LIMIT_PASSED) {
                    break;
                }
            }

            if ((int64_t) left != last) {
                wrong++;
            }

            last = 0;
        }
    }

    is_int(loosened, 0, "no answer loosens the view before its reset");
    is_int(wrong, 0, "remaining is what is enforced (APISIX 13704)");
}


int
main(void)
{
    window();
    chains();
    keys();
    returns();
    view();
    sliding();
    gate();
    probe();
    drift();
    telling();
    lines();
    both();
    cancelled();
    no_memory();
    monotonic();

    fresh();
    uncount();

    return done();
}
