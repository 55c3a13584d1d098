-- Each log and its incarnation: a random id that ties streams and read models to this very database.
create table turnlog.logs (
    log text collate "C" primary key check (log ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
    incarnation text collate "C" not null default replace(gen_random_uuid()::text, '-', ''),
    created_at timestamptz not null default now()
)
