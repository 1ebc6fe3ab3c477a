# GNU make; "make help" lists the targets.

NGINX     ?= nginx
NGX_SRC   ?= /usr/share/nginx/src
BUILD     ?= build/module
LDFLAGS   ?= -Wl,-z,relro -Wl,-z,now
WARNINGS  := -Wall -Wextra -Wno-unused-parameter -Werror
JOBS      ?= 2

# variables of "make CFLAGS=..." must not replace those of nginx's Makefile,
# hence MAKEFLAGS is kept from it below

ifeq ($(origin CC),default)
CC        := gcc
endif

# a request takes many small functions of many files; clang would need
# another linker for that

LTO       := $(if $(findstring clang,$(CC)),,-flto=$(JOBS))
CFLAGS    ?= -g -O2 $(LTO) -fno-plt -fstack-protector-strong \
             -D_FORTIFY_SOURCE=2

# the options that Debian's nginx was made with, or those we need
NGX_FLAGS ?= $(or $(shell sed -n 's/^NGX_CONF_FLAGS=(\(.*\))$$/\1/p' \
                 $(NGX_SRC)/conf_flags 2> /dev/null), \
             --with-compat --with-debug --with-threads \
             --with-http_ssl_module --with-http_v2_module \
             --with-http_auth_request_module --with-http_realip_module \
             --with-http_sub_module --with-http_stub_status_module)

# A pool's pieces become mallocs, so that ASan sees where they end; nginx's
# own sources would trip over the last two of UBSan's checks.
SANITIZE  := -g -O1 -fsanitize=address,undefined \
             -fno-omit-frame-pointer -DNGX_DEBUG_PALLOC=1 \
             -DNGX_HAVE_NONALIGNED=0 -fno-sanitize=nonnull-attribute

HIREDIS   := ZAPIER_HIREDIS='$(ZAPIER_HIREDIS)' \
             ZAPIER_HIREDIS_INC='$(ZAPIER_HIREDIS_INC)' \
             ZAPIER_HIREDIS_LIB='$(ZAPIER_HIREDIS_LIB)'

SOURCES   := $(wildcard ngx_zapier_module/*/*.c)
SCRIPTS   := $(wildcard ngx_zapier_module/redis/scripts/*.lua)
MODULE    := build/module/objs/ngx_http_zapier_module.so
MODULES   := $(shell $(NGINX) -V 2>&1 | tr ' ' '\n' \
                 | sed -n 's/^--modules-path=//p')
SOURCE_OF := t/lib/debian-source
SUITES    ?= bookworm trixie sid

SETTINGS  := $(CC) $(NGX_SRC) $(NGX_FLAGS) $(CFLAGS) $(LDFLAGS) \
             $(HIREDIS) $(SOURCES)


.PHONY: module nginx asan test suite suite-asan run bench fuzz faults lint
.PHONY: matrix install clean help FORCE

module: ADD = --add-dynamic-module
module: $(BUILD)/objs/Makefile          ## the module for NGX_SRC (default)
	@env -u MAKEFLAGS $(MAKE) -s -j$(JOBS) -C $(BUILD) -f objs/Makefile modules

nginx: ADD = --add-module
nginx: $(BUILD)/objs/Makefile           ## a whole nginx with it, in BUILD
	@env -u MAKEFLAGS $(MAKE) -s -j$(JOBS) -C $(BUILD) -f objs/Makefile binary

asan:                                   ## the same, with ASan and UBSan
	src=$$($(SOURCE_OF) nginx bookworm) && $(MAKE) nginx \
	    BUILD=build/asan NGX_SRC="$$src" CFLAGS='$(SANITIZE)' \
	    LDFLAGS='-fsanitize=address,undefined'

test: module asan lint                  ## everything that proves something
	$(MAKE) -C t/unit test
	$(MAKE) -C t/fuzz smoke
	$(MAKE) -j2 --no-print-directory suite suite-asan

# they wait more than they work

suite:
	t/lib/run-tests

suite-asan:
	TEST_PORT=24300 TEST_NGINX_BINARY=$(CURDIR)/t/lib/nginx-asan \
	    t/lib/run-tests > build/asan.log 2>&1; \
	status=$$?; cat build/asan.log; exit $$status

run: module                             ## sandbox, Redis and nginx to play
	./quickstart

bench: module                           ## CPU and latency next to peers
	t/bench/run

fuzz:                                   ## the fuzzers, for a while
	$(MAKE) -C t/fuzz long

faults: module                          ## kills and quota, ROUNDS=500 SECONDS=300 KEYS=10000
	FAULTS_ROUNDS=$(or $(ROUNDS),500) t/lib/run-tests t/faults/token-fleet.t
	FAULTS_KEYS=$(or $(KEYS),10000) t/lib/run-tests -v t/faults/runs-once.t
	FAULTS_RUN=30 t/lib/run-tests -v t/run-calls.t
	FAULTS_SECONDS=$(or $(SECONDS),300) \
		t/lib/run-tests -v t/faults/limit-property.t
	FAULTS_SECONDS=$(or $(SECONDS),300) FAULTS_WINDOW=60 \
		t/lib/run-tests -v t/faults/limit-upstream.t

lint:                                   ## layers and style
	t/lib/lint

matrix:                                 ## compile against what Debian has
	SUITES='$(SUITES)' t/lib/matrix

install: module                         ## into nginx's modules path
	install -d $(DESTDIR)$(MODULES) $(DESTDIR)/etc/nginx
	install -m 644 $(MODULE) $(DESTDIR)$(MODULES)/.zapier.new
	mv $(DESTDIR)$(MODULES)/.zapier.new \
	    $(DESTDIR)$(MODULES)/$(notdir $(MODULE))
	install -m 644 zapier_params $(DESTDIR)/etc/nginx/zapier_params

clean:                                  ## removes what was built
	rm -rf build
	for dir in unit fuzz; do \
	    test ! -f t/$$dir/Makefile || $(MAKE) -C t/$$dir clean; \
	done

help:                                   ## this list
	@sed -n 's|^\([a-z]*\):[^#]*## \(.*\)|make \1#\2|p' $(MAKEFILE_LIST) \
	    | while IFS="\#" read -r t d; do printf "    %-14s%s\n" "$$t" "$$d"; done


# nginx-dev has no sources but headers, and nginx's configure writes into
# the directory it runs in: hence the links

$(BUILD)/objs/Makefile: $(BUILD)/settings config $(SCRIPTS)
	@for name in auto configure src conf html man contrib; do \
	    test ! -e $(NGX_SRC)/$$name \
	        || ln -sfn $(abspath $(NGX_SRC))/$$name $(BUILD)/$$name; \
	done
	@echo 'configuring $(BUILD) from $(NGX_SRC)'
	@cd $(BUILD) && export $(HIREDIS) \
	    && $$(ls ./configure auto/configure 2> /dev/null | head -n 1) \
	        $(NGX_FLAGS) --with-cc='$(CC)' \
	        --with-cc-opt='$(CFLAGS) -fPIC $(WARNINGS)' \
	        --with-ld-opt='$(LDFLAGS)' --builddir=objs \
	        $(ADD)='$(CURDIR)' > configure.log \
	    || { tail configure.log >&2; exit 1; }
	@touch $@

$(BUILD)/settings: FORCE
	@mkdir -p $(@D)
	@echo "$(SETTINGS)" | cmp -s - $@ || echo "$(SETTINGS)" > $@
