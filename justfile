# Every recipe is a step that CI runs.

# Everything that CI runs, in its order.
ci:
    .ci/run

# Whole-program and unit tests.
test:
    .ci/run test

# The formatter, changing files.
fmt:
    cargo fmt --all

# Formatting, lints and docs, without tests.
check:
    .ci/run format lint docs

# Bans, licences and sources of dependencies.
deny:
    .ci/run deny

# What deploy/ ships, with whatever of the tools is here; deploy/README.md says which they are.
deploy-check *STEPS:
    deploy/check {{STEPS}}

# CPU seconds per GB and per million lines; see benches/README.md.
bench *ARGS:
    cargo bench --bench ingest -- {{ARGS}}

# What durability costs: the store on and off, and on slow disks.
durability *ARGS:
    cargo bench --bench durability -- {{ARGS}}

# The ledger under a thousand kills; --kills N, --seed N: docs/reliability.md.
soak *ARGS:
    cargo bench --bench soak -- {{ARGS}}

# Ledger and outbox under ten thousand seeds, on a clock of their own.
simulate:
    cargo test --release --lib -- --ignored --nocapture simulation

# What an outage costs everyone; needs a Fluent Bit, see docs/fluent-bit.md.
outage *ARGS:
    cargo bench --bench outage -- {{ARGS}}

# Fuzzes what reads outside bytes, a minute a target: `just fuzz 1800 body`.
fuzz *ARGS:
    .ci/fuzz {{ARGS}}

# How well a model triages, beside the built-in triager: `just eval http://127.0.0.1:11434 qwen2.5:3b`; see docs/triage.md.
eval *ARGS:
    cargo run --release --example eval -- {{ARGS}}

# A story with no hand on it: a shop breaks, is understood, restarted, and recovers; told as it happens.
story-restart:
    cargo test --quiet --test it stories::a_shop_whose_pool_is_leaked -- --nocapture

# Another: a bug in a small repository, its trace, a mend that is proven, and a draft pull request.
story-patch:
    cargo test --quiet --test it stories::a_bug_of_the_last_deploy -- --nocapture
