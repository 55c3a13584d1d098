-- Raised by the triggers below, whoever asks.
create function turnlog.forbid_change() returns trigger language plpgsql as $$
begin
    raise exception '% on turnlog.% is forbidden: history is append-only', tg_op, tg_table_name
        using errcode = 'insufficient_privilege',
              hint = 'Append a retraction instead; content is never edited.';
end
$$
