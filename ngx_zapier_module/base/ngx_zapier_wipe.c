
/*
 * Zeroed memory is not enough for a core file, which has all registers too.
 * memcpy() and others of the C library work with the vector registers and
 * leave there what they have seen.  Most of these are soon used again, but
 * with AVX-512 glibc takes those that nobody else uses, 16 and up, and a
 * token in one of them stays until something as long is copied.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_zapier_wipe.h>


#if defined(__x86_64__)
static void ngx_zapier_wipe_low(void);
static void ngx_zapier_wipe_high(void);
#endif


void
ngx_zapier_wipe(void *p, size_t len)
{
    ngx_explicit_memzero(p, len);

#if defined(__x86_64__)

    ngx_zapier_wipe_low();

    if (__builtin_cpu_supports("avx512vl")) {
        ngx_zapier_wipe_high();
    }

#elif defined(__aarch64__)

    __asm__ volatile (
        "movi v0.2d, #0\n\t"   "movi v1.2d, #0\n\t"   "movi v2.2d, #0\n\t"
        "movi v3.2d, #0\n\t"   "movi v4.2d, #0\n\t"   "movi v5.2d, #0\n\t"
        "movi v6.2d, #0\n\t"   "movi v7.2d, #0\n\t"   "movi v16.2d, #0\n\t"
        "movi v17.2d, #0\n\t"  "movi v18.2d, #0\n\t"  "movi v19.2d, #0\n\t"
        "movi v20.2d, #0\n\t"  "movi v21.2d, #0\n\t"  "movi v22.2d, #0\n\t"
        "movi v23.2d, #0\n\t"  "movi v24.2d, #0\n\t"  "movi v25.2d, #0\n\t"
        "movi v26.2d, #0\n\t"  "movi v27.2d, #0\n\t"  "movi v28.2d, #0\n\t"
        "movi v29.2d, #0\n\t"  "movi v30.2d, #0\n\t"  "movi v31.2d, #0"
        ::: "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17",
            "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26",
            "v27", "v28", "v29", "v30", "v31");

#endif
}


#if defined(__x86_64__)

#define ngx_zapier_wipe_xmm(n)                                               \
    "pxor %%xmm" #n ", %%xmm" #n "\n\t"

/* the upper halves go with it, whatever their length is */
#define ngx_zapier_wipe_evex(n)                                              \
    "vpxord %%xmm" #n ", %%xmm" #n ", %%xmm" #n "\n\t"


static void
ngx_zapier_wipe_low(void)
{
    if (__builtin_cpu_supports("avx")) {
        __asm__ volatile ("vzeroall"
            ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
                "xmm14", "xmm15");
        return;
    }

    __asm__ volatile (
        ngx_zapier_wipe_xmm(0)   ngx_zapier_wipe_xmm(1)
        ngx_zapier_wipe_xmm(2)   ngx_zapier_wipe_xmm(3)
        ngx_zapier_wipe_xmm(4)   ngx_zapier_wipe_xmm(5)
        ngx_zapier_wipe_xmm(6)   ngx_zapier_wipe_xmm(7)
        ngx_zapier_wipe_xmm(8)   ngx_zapier_wipe_xmm(9)
        ngx_zapier_wipe_xmm(10)  ngx_zapier_wipe_xmm(11)
        ngx_zapier_wipe_xmm(12)  ngx_zapier_wipe_xmm(13)
        ngx_zapier_wipe_xmm(14)  ngx_zapier_wipe_xmm(15)
        ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
            "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
            "xmm14", "xmm15");
}


/* a function of its own, so that the compiler knows these registers */

__attribute__((target("avx512vl")))
static void
ngx_zapier_wipe_high(void)
{
    __asm__ volatile (
        ngx_zapier_wipe_evex(16)  ngx_zapier_wipe_evex(17)
        ngx_zapier_wipe_evex(18)  ngx_zapier_wipe_evex(19)
        ngx_zapier_wipe_evex(20)  ngx_zapier_wipe_evex(21)
        ngx_zapier_wipe_evex(22)  ngx_zapier_wipe_evex(23)
        ngx_zapier_wipe_evex(24)  ngx_zapier_wipe_evex(25)
        ngx_zapier_wipe_evex(26)  ngx_zapier_wipe_evex(27)
        ngx_zapier_wipe_evex(28)  ngx_zapier_wipe_evex(29)
        ngx_zapier_wipe_evex(30)  ngx_zapier_wipe_evex(31)
        ::: "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22",
            "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29",
            "xmm30", "xmm31");
}

#endif
