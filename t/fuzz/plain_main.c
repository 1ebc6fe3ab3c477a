
/*
 * Stands in for libFuzzer where there is no clang: runs the target on the
 * files given and on mutations of them for a number of seconds.
 *
 *   fuzz_NAME SECONDS FILE...
 */


#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>


#define MAX_FILES  256
#define MAX_SIZE   8192


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t mutate(uint8_t *data, size_t size);


static const char  *words[] = {
    "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0061", "\\ud800", "\\\"",
    "\"data\":", "\"action\":", "\"authentication\":", "\"inputs\":",
    "\"input\":", "\"callback_url\":", "null", "true", "false", "0", "-0",
    "1e400", "1.5", " ", "\n", "\"\"", "{}", "[]", "\xc3\xa9", "\xed\xa0",
    "\xf0\x9f\x98\x80", "\x80", "0123456789abcdef0123456789abcdef",
    "\r\n", "*1\r\n", "*2\r\n", "*-1\r\n", "$-1\r\n", "$3\r\nabc\r\n",
    "$17\r\n",
    ":1\r\n", "+OK\r\n", "-ERR ", "$9223372036854775807\r\n", ", with args"
};


int
main(int argc, char **argv)
{
    int             i, n;
    FILE           *f;
    time_t          end;
    size_t          size, sizes[MAX_FILES];
    uint8_t         work[MAX_SIZE], *copy, *files[MAX_FILES];
    unsigned long   runs;

    if (argc < 3) {
        fprintf(stderr, "usage: %s SECONDS FILE...\n", argv[0]);
        return 2;
    }

    for (n = 0; n < argc - 2 && n < MAX_FILES; n++) {
        f = fopen(argv[n + 2], "rb");
        if (f == NULL) {
            perror(argv[n + 2]);
            return 2;
        }

        files[n] = malloc(MAX_SIZE);
        sizes[n] = fread(files[n], 1, MAX_SIZE / 2, f);
        fclose(f);

        LLVMFuzzerTestOneInput(files[n], sizes[n]);
    }

    end = time(NULL) + atoi(argv[1]);

    for (runs = n; time(NULL) < end; runs++) {
        i = rand() % n;
        size = sizes[i];
        memcpy(work, files[i], size);

        for (i = rand() % 6; i >= 0; i--) {
            size = mutate(work, size);
        }

        /* of the very size, for the sanitizers */

        copy = malloc(size ? size : 1);
        memcpy(copy, work, size);
        LLVMFuzzerTestOneInput(copy, size);
        free(copy);
    }

    while (n) {
        free(files[--n]);
    }

    printf("%lu runs\n", runs);

    return 0;
}


static size_t
mutate(uint8_t *data, size_t size)
{
    size_t       at, len;
    const char  *word;

    at = size ? (size_t) rand() % size : 0;

    switch (rand() % 4) {

    case 0:
        if (size) {
            data[at] ^= (uint8_t) (1 << rand() % 8);
        }

        return size;

    case 1:
        len = (size_t) rand() % 16;
        len = len < size - at ? len : size - at;
        memmove(data + at, data + at + len, size - at - len);

        return size - len;

    default:
        word = words[(size_t) rand() % (sizeof(words) / sizeof(words[0]))];
        len = strlen(word);

        if (size + len > MAX_SIZE) {
            return size;
        }

        memmove(data + at + len, data + at, size - at);
        memcpy(data + at, word, len);

        return size + len;
    }
}
