
/*
 * What is wiped is gone, from memory and from the vector registers.
 */

#include <unit.h>
#include <ngx_zapier_wipe.h>


/* each register is looked at in its full length, at most this long */
#define LENGTH  64
#define NREGS   32


static u_char  pattern[LENGTH], seen[NREGS][LENGTH];


#if defined(__x86_64__)

#define EACH_LOW(one)                                                        \
    one(0) one(1) one(2) one(3) one(4) one(5) one(6) one(7)                  \
    one(8) one(9) one(10) one(11) one(12) one(13) one(14) one(15)

#define EACH_HIGH(one)                                                       \
    one(16) one(17) one(18) one(19) one(20) one(21) one(22) one(23)          \
    one(24) one(25) one(26) one(27) one(28) one(29) one(30) one(31)

#define LOAD_XMM(n)   "movups (%0), %%xmm" #n "\n\t"
#define LOAD_YMM(n)   "vmovups (%0), %%ymm" #n "\n\t"
#define LOAD_ZMM(n)   "vmovdqu64 (%0), %%zmm" #n "\n\t"

#define STORE_XMM(n)  "movups %%xmm" #n ", 64*" #n "(%0)\n\t"
#define STORE_YMM(n)  "vmovups %%ymm" #n ", 64*" #n "(%0)\n\t"
#define STORE_ZMM(n)  "vmovdqu64 %%zmm" #n ", 64*" #n "(%0)\n\t"

#define LOW   "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",        \
              "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",    \
              "xmm14", "xmm15", "memory"


/*
 * Whole functions of assembler text, so that nothing comes between: the
 * high registers are not known to a compiler that does not use them.
 */

static void
fill(void)
{
    if (__builtin_cpu_supports("avx512vl")) {
        __asm__ volatile (EACH_LOW(LOAD_ZMM) EACH_HIGH(LOAD_ZMM)
                          :: "r" (pattern) : LOW);

    } else if (__builtin_cpu_supports("avx")) {
        __asm__ volatile (EACH_LOW(LOAD_YMM) :: "r" (pattern) : LOW);

    } else {
        __asm__ volatile (EACH_LOW(LOAD_XMM) :: "r" (pattern) : LOW);
    }
}


static void
look(void)
{
    if (__builtin_cpu_supports("avx512vl")) {
        __asm__ volatile (EACH_LOW(STORE_ZMM) EACH_HIGH(STORE_ZMM)
                          :: "r" (seen) : LOW);

    } else if (__builtin_cpu_supports("avx")) {
        __asm__ volatile (EACH_LOW(STORE_YMM) :: "r" (seen) : LOW);

    } else {
        __asm__ volatile (EACH_LOW(STORE_XMM) :: "r" (seen) : LOW);
    }
}

#elif defined(__aarch64__)

/* those that the called need not preserve */

#define EACH(one)                                                            \
    one(0) one(1) one(2) one(3) one(4) one(5) one(6) one(7) one(16)          \
    one(17) one(18) one(19) one(20) one(21) one(22) one(23) one(24)          \
    one(25) one(26) one(27) one(28) one(29) one(30) one(31)

#define LOAD(n)   "ldr q" #n ", [%0]\n\t"
#define STORE(n)  "str q" #n ", [%0, #64*" #n "]\n\t"

#define ALL   "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17",  \
              "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", \
              "v27", "v28", "v29", "v30", "v31", "memory"


static void
fill(void)
{
    __asm__ volatile (EACH(LOAD) :: "r" (pattern) : ALL);
}


static void
look(void)
{
    __asm__ volatile (EACH(STORE) :: "r" (seen) : ALL);
}

#else

/* others' registers are not wiped */

#define fill()
#define look()

#endif


static ngx_uint_t
found(void)
{
    ngx_uint_t  i, j, n;

    n = 0;

    for (i = 0; i < NREGS; i++) {

        for (j = 0; j + 4 <= LENGTH; j += 4) {

            if (ngx_memcmp(seen[i] + j, pattern + j, 4) == 0) {
                n++;
                break;
            }
        }
    }

    return n;
}


int
main(void)
{
    u_char      memory[LENGTH + 2];
    ngx_uint_t  i;

    for (i = 0; i < LENGTH; i++) {
        pattern[i] = 'A' + i;
    }

    ngx_memset(memory, 'm', sizeof(memory));

    fill();
    look();

#if defined(__x86_64__)
    is_int(found(), __builtin_cpu_supports("avx512vl") ? 32 : 16,
           "all registers are seen");
#endif

    fill();
    ngx_zapier_wipe(memory + 1, LENGTH);
    look();

    is_int(found(), 0, "all are wiped");

    for (i = 1; i <= LENGTH && memory[i] == 0; i++) { /* void */ }

    is_int(i, LENGTH + 1, "memory is zeroed");
    ok(memory[0] == 'm' && memory[LENGTH + 1] == 'm', "and no more of it");

    ngx_zapier_wipe(memory, 0);
    ok(memory[0] == 'm', "nothing is zeroed");

    return done();
}
