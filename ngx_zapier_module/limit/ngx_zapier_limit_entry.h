
/*
 * What shared memory holds of a scope, and a claim's chain of such entries
 * while the mutex is held.  Private to limit/.
 */


#ifndef _NGX_ZAPIER_LIMIT_ENTRY_H_INCLUDED_
#define _NGX_ZAPIER_LIMIT_ENTRY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_limit.h>
#include <ngx_zapier_shm.h>
#include <ngx_zapier_window.h>


/* a limit or remaining that the upstream did not tell: no restraint */
#define NGX_ZAPIER_LIMIT_UNSET  ((uint32_t) -1)

/* length of the zone's name, the name, the same of the tag, the key */
#define NGX_ZAPIER_LIMIT_ENTRY_KEY                                           \
    (1 + 255 + 1 + NGX_ZAPIER_LIMIT_TAG_LEN + NGX_ZAPIER_LIMIT_KEY_LEN)

/*
 * The clock is cut to milliseconds, so that a difference may be short of
 * one.  A unit is given back when a window has passed in any case.
 */
#define ngx_zapier_limit_slack(zone)   ((zone)->slack + 1)
#define ngx_zapier_limit_window(zone)                                        \
    ((zone)->window + ngx_zapier_limit_slack(zone))

/*
 * ms that a probe is waited for before another call may be one: a worker
 * can die with it
 */
#define NGX_ZAPIER_LIMIT_PROBE_TIME  5000

/* times that a claim asks Redis, against others who take what it got */
#define NGX_ZAPIER_LIMIT_ROUNDS       8


#define NGX_ZAPIER_LIMIT_PLACES  512


/* once in shared memory */
typedef struct {

    /*
     * Until when a scope may be closed that has its place by its hash here,
     * in s of ngx_zapier_clock().  Too late at worst.
     */
    volatile uint32_t          until[NGX_ZAPIER_LIMIT_PLACES];

    ngx_zapier_limit_counts_t *counts;
    u_char                     node[16];   /* this node's name in Redis */
    uint32_t                   nodes;      /* that were alive lately, this
                                              one included; 0: not told */
} ngx_zapier_limit_shared_t;


/* all times are ngx_zapier_clock() ms */

typedef struct {
    uint64_t                   reset;      /* in force before, 0: never */
    uint32_t                   limit;
    uint32_t                   remaining;
} ngx_zapier_limit_mirror_t;


typedef struct ngx_zapier_limit_party_s  ngx_zapier_limit_party_t;


typedef struct {
    ngx_zapier_shm_node_t      node;
    ngx_zapier_window_t        window;

    ngx_zapier_limit_mirror_t  mirror;
    ngx_zapier_limit_mirror_t  next;       /* told already, in force when
                                              the other one has run out */
    uint64_t                   heard;      /* when the mirror was set */
    uint64_t                   told;       /* when others were told of it */

    uint64_t                   closed;     /* the gate, until then */
    uint64_t                   shut;       /* when that was last heard, 0: an
                                              answer has let everybody in */
    uint64_t                   probe;      /* a probe is under way, until */
    uint64_t                   gate_reset; /* told with it */
    uint32_t                   gate_limit;
    uint32_t                   late;       /* ms that it opens later */

    uint32_t                   length;     /* of the window, for evict() */

    ngx_zapier_limit_party_t  *parties;    /* who share it, or NULL */
    uint64_t                   wanted;     /* by some of them, until */
    uint32_t                   waiting;    /* units, in the workers' queues */
    uint64_t                   waiting_until;

    /* of zones that are counted in Redis */

    uint64_t                   lease_end;  /* what is left then is returned */
    uint64_t                   lease_stamp; /* its name in Redis */
    uint32_t                   lease_units;
    uint32_t                   want;       /* as the use of late says */
    uint32_t                   taken;      /* units since then */
    uint64_t                   asked;      /* when it said so */
    uint64_t                   full_until; /* full_units do not fit */
    uint32_t                   full_units;
    uint32_t                   left;       /* as Redis told */
    uint64_t                   left_reset; /* when all will be free */
    uint32_t                   nodes;
    uint32_t                   open_calls; /* let through while Redis was */
    uint64_t                   open_since; /* away; 0: it was there */
} ngx_zapier_limit_entry_t;


typedef struct {
    ngx_zapier_limit_scope_t  *scope;
    ngx_zapier_limit_entry_t  *entry;      /* NULL: there is none */
    uint32_t                   hash;
    ngx_uint_t                 alone;      /* nodes, to be judged without
                                              Redis; 0: with it */
    ngx_uint_t                 lacks;      /* units that Redis has */
    ngx_uint_t                 tally;      /* 1 + what is to be counted */
    uint32_t                   want;       /* of them */
    uint32_t                   own;        /* spent by this node */
    uint32_t                   weight;     /* of all who share it here, 0: it
                                              is not shared */
    uint32_t                   wants;      /* units that they want, */
    uint32_t                   wants_time; /* for so long, ms */
    size_t                     key_len;
    u_char                     key[NGX_ZAPIER_LIMIT_ENTRY_KEY];
} ngx_zapier_limit_link_t;


typedef struct {
    ngx_zapier_limits_t       *limits;
    uint64_t                   now;        /* ngx_zapier_clock() ms */
    uint64_t                   wall;       /* the same in epoch ms */
    ngx_uint_t                 n;
    ngx_uint_t                 shared;     /* some scope is, in fair parts */
    ngx_uint_t                 fleet;      /* Redis counts some scope */
    ngx_uint_t                 tallies;    /* something is to be counted */
    ngx_zapier_limit_link_t    links[NGX_ZAPIER_LIMIT_CHAIN];
} ngx_zapier_limit_chain_t;


/* an answer of the upstream */
typedef struct {
    uint32_t                   limit;
    uint32_t                   remaining;
    ngx_flag_t                 has_reset;
    uint64_t                   reset;      /* if it has one */
    ngx_flag_t                 closes;
    uint64_t                   closed;     /* 0: as long as the cooldown */
} ngx_zapier_limit_told_t;


/* how a scope stands */
typedef struct {
    ngx_flag_t                 known;
    int64_t                    limit;
    int64_t                    remaining;
    uint64_t                   wait;       /* ms until units fit */
    uint64_t                   reset;      /* ms */
} ngx_zapier_limit_state_t;


/*
 * Finds the entries of a claim's chain, each once.  With NGX_OK the mutex
 * is held until ngx_zapier_limit_chain_close(), and what is found stays.
 * NGX_ERROR: a chain or a key is too long.
 */
ngx_int_t ngx_zapier_limit_chain_open(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limits_t *limits, ngx_zapier_limit_claim_t *claim);
void ngx_zapier_limit_chain_close(ngx_zapier_limit_chain_t *chain);

/*
 * Names the node in shared memory, under the mutex.  A name is as old as
 * the zone: it outlives reloads and workers.
 */
void ngx_zapier_limit_name(ngx_zapier_limits_t *limits);

/* Makes an entry that a unit can be charged to.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_zapier_limit_provide(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_link_t *link);

/* The hash of a scope: of its zone, tag and key. */
uint32_t ngx_zapier_limit_hash(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_scope_t *scope);

ngx_int_t ngx_zapier_limit_evict(ngx_zapier_shm_table_t *table,
    ngx_zapier_shm_node_t *node);


/* ngx_zapier_limit.c */

/*
 * How the scopes stand; 1: some call is refused.  For calls that are
 * charged already, only a closed gate is in the way.
 */
ngx_uint_t ngx_zapier_limit_judge_all(ngx_zapier_limit_chain_t *chain,
    ngx_flag_t charged, ngx_zapier_limit_state_t *states);

/*
 * Notes who will be refused the next time, and returns the longest wait
 * (ms).  To look twice at the limits of
 * everybody, before the body and to charge them, would be felt.
 */
uint64_t ngx_zapier_limit_remember(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_state_t *states);

/* Units that Redis has granted to a claim that has not used them go back. */
void ngx_zapier_limit_give_held(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim);

/* Tries a claim that ngx_zapier_limit_start() has begun; returns as that. */
ngx_int_t ngx_zapier_limit_try(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim);


/* ngx_zapier_limit_lease.c: units of Redis in shared memory, no I/O */

#define ngx_zapier_limit_fleet(link)                                         \
    ((link)->scope->zone->store == NGX_ZAPIER_LIMIT_REDIS                    \
     && (link)->scope->zone->limit != 0)

/* Has the node no units for it? */
ngx_uint_t ngx_zapier_limit_lease_lacks(ngx_zapier_limit_link_t *link,
    uint64_t now);

/* Takes what the scope needs; it is there. */
void ngx_zapier_limit_lease_take(ngx_zapier_limit_link_t *link);

/* Puts a call's unused units back in store, if their lease still lasts. */
ngx_uint_t ngx_zapier_limit_lease_again(ngx_zapier_limit_link_t *link,
    uint64_t now);

/*
 * Puts units in store until end.  There is room for those of one lease:
 * units and stamp become those that are to be given back.
 */
void ngx_zapier_limit_lease_put(ngx_zapier_limit_entry_t *entry,
    uint64_t now, uint32_t *units, uint64_t *stamp, uint64_t end);

/* ms that a zone's lease lasts */
uint32_t ngx_zapier_limit_lease_time(ngx_zapier_limit_zone_t *zone);

/*
 * The age (ms) of calls that Redis ought to know of: the oldest ones may
 * have left the window there already.
 */
#define ngx_zapier_limit_own(zone)  ((zone)->window - (zone)->window / 32)

/* How many units to ask for. */
uint32_t ngx_zapier_limit_lease_want(ngx_zapier_limit_link_t *link,
    uint64_t now);

/* How the scope stands by what Redis told, or without it. */
void ngx_zapier_limit_judge_fleet(ngx_zapier_limit_link_t *link,
    uint64_t now, uint32_t units, ngx_zapier_limit_state_t *state);

/* Is the claim to pass without any count? */
ngx_uint_t ngx_zapier_limit_lease_open(ngx_zapier_limit_link_t *link,
    ngx_zapier_limit_claim_t *claim, uint64_t now);


/* ngx_zapier_limit_fleet.c: units of Redis are asked for and given back */

/*
 * Asks for what the chain lacks, or waits for who asks already.
 * NGX_AGAIN: the claim is tried again and its handler called.
 * NGX_ERROR: Redis cannot be asked.
 */
ngx_int_t ngx_zapier_limit_ask(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_claim_t *claim);

/* Tries a claim again that was asked for, and calls its handler. */
void ngx_zapier_limit_ask_finish(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim);

/* The claim is not tried any more. */
void ngx_zapier_limit_ask_cancel(ngx_zapier_limit_claim_t *claim);

/* Tells Redis that the marked scopes' units were not used. */
void ngx_zapier_limit_give_back(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim, ngx_uint_t mask);


/* ngx_zapier_limit_share.c: fair shares, for zones with share= */

#define ngx_zapier_limit_shared_by(link)                                     \
    ((link)->scope->zone->share && (link)->scope->party != 0)

/*
 * Are others to be let go first?  1: some scope's state says so.  For who
 * is not refused otherwise.
 */
ngx_uint_t ngx_zapier_limit_share_refuses(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_claim_t *claim, ngx_zapier_limit_state_t *states);

/* The call was refused: its party wants units, and will come again. */
void ngx_zapier_limit_share_refused(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_claim_t *claim, ngx_zapier_limit_state_t *states);

/* The party wants so many units more, until then (ms). */
void ngx_zapier_limit_share_want(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_link_t *link, uint64_t units, uint64_t until);

/* The call goes, or has not gone after all. */
void ngx_zapier_limit_share_take(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_link_t *link, ngx_uint_t patient);
void ngx_zapier_limit_share_return(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_link_t *link);

/* What Redis is told of the node's parties: link's weight and wants. */
void ngx_zapier_limit_share_sum(ngx_zapier_limit_link_t *link, uint64_t now);

/* Nobody has had anything, nobody wants anything. */
void ngx_zapier_limit_share_forget(ngx_zapier_limit_entry_t *entry);

/*
 * Calls of the claim's party wait for the scope of that hash: so many units
 * more, for so long (ms), or less.
 */
void ngx_zapier_limit_share_queue(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim, uint32_t hash, int64_t units,
    uint64_t time);


/* ngx_zapier_limit_right.c: one probe for all nodes */

/*
 * The next scope of a zone that the fleet shares for which the claim would
 * be the probe, and on this node has become it.  NULL: there is none.
 */
ngx_zapier_limit_scope_t *ngx_zapier_limit_right_due(
    ngx_zapier_limit_chain_t *chain);

/*
 * Asks for the right to it.  NGX_AGAIN: the claim is tried again and its
 * handler called.  NGX_ERROR: Redis cannot be asked.
 */
ngx_int_t ngx_zapier_limit_right_ask(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim, ngx_zapier_limit_scope_t *scope);

/* The claim is not tried any more. */
void ngx_zapier_limit_right_cancel(ngx_zapier_limit_claim_t *claim);

/* Gives rights back to probes that there are no more. */
void ngx_zapier_limit_right_drop(ngx_zapier_limits_t *limits,
    ngx_zapier_limit_claim_t *claim);


/* ngx_zapier_limit_mirror.c */

/* The view in force or NULL. */
ngx_zapier_limit_mirror_t *ngx_zapier_limit_mirror(
    ngx_zapier_limit_entry_t *entry, uint64_t now);

void ngx_zapier_limit_mirror_charge(ngx_zapier_limit_entry_t *entry,
    uint64_t now, uint32_t units);
void ngx_zapier_limit_mirror_return(ngx_zapier_limit_entry_t *entry,
    uint64_t now, uint32_t units, uint64_t charged);

/*
 * Would the answer leave anything to remember in an entry that knows
 * nothing yet?
 */
ngx_uint_t ngx_zapier_limit_mirror_matters(ngx_zapier_limit_told_t *told,
    uint64_t now);

/* Takes an answer in; returns 1 if it closed an open gate. */
ngx_uint_t ngx_zapier_limit_mirror_observe(ngx_zapier_limit_entry_t *entry,
    uint64_t now, uint32_t cooldown, ngx_zapier_limit_told_t *told);


/* ngx_zapier_limit_gate.c */

/* Keeps the gate closed as long as told; returns 1 if it was open. */
ngx_uint_t ngx_zapier_limit_gate_close(ngx_zapier_limit_entry_t *entry,
    uint64_t now, uint32_t cooldown, ngx_zapier_limit_told_t *told);

/* Is it closed, or on probation? */
ngx_uint_t ngx_zapier_limit_gate_restrains(ngx_zapier_limit_entry_t *entry,
    uint64_t now);

/* Adds what the gate says to a scope's state. */
void ngx_zapier_limit_gate_judge(ngx_zapier_limit_link_t *link, uint64_t now,
    ngx_zapier_limit_state_t *state);

/*
 * For a call that goes: it becomes the probe if one is wanted, which is
 * noted in scope->probe.  Returns 1 if it did.
 */
ngx_uint_t ngx_zapier_limit_gate_probe(ngx_zapier_limit_link_t *link,
    uint64_t now);

/* The call was answered; returns 1 if this has ended a probation. */
ngx_uint_t ngx_zapier_limit_gate_answered(ngx_zapier_limit_link_t *link);

/* The same by what another node tells of its probe. */
ngx_uint_t ngx_zapier_limit_gate_open(ngx_zapier_limit_link_t *link,
    uint64_t sent);

/* Another node has been first: nobody here is the probe for now. */
void ngx_zapier_limit_gate_yield(ngx_zapier_limit_link_t *link,
    uint64_t now);

/* Is any scope's probe among the claim? */
ngx_uint_t ngx_zapier_limit_probes(ngx_zapier_limit_claim_t *claim);

/* It was not: another one may be the probe. */
void ngx_zapier_limit_gate_release(ngx_zapier_limit_link_t *link);


/* ngx_zapier_limit_view.c */

void ngx_zapier_limit_judge(ngx_zapier_limit_link_t *link, uint64_t now,
    uint32_t units, ngx_zapier_limit_state_t *state);

/*
 * Fills the view from the scope that binds: when refusing the one that
 * takes longest, else the one with the least left.
 */
void ngx_zapier_limit_show(ngx_zapier_limit_chain_t *chain,
    ngx_zapier_limit_state_t *states, ngx_flag_t refusing,
    ngx_zapier_limit_view_t *view);


#endif /* _NGX_ZAPIER_LIMIT_ENTRY_H_INCLUDED_ */
