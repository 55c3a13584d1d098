-- How far a consumer without a store of its own (the compressor) has come. Mutable: it is no history.
create table turnlog.checkpoints (
    log text collate "C" not null,
    consumer text collate "C" not null,
    position bigint not null,
    updated_at timestamptz not null default now(),
    primary key (log, consumer)
)
