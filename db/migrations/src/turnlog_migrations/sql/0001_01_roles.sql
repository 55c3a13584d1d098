-- The application role: it may read and append, never change or remove. The owner (whoever migrates) keeps the rest.
do $$
begin
    if not exists (select from pg_roles where rolname = 'turnlog_app') then
        create role turnlog_app login;
    end if;
    if not pg_has_role(current_user, 'turnlog_app', 'member') then
        execute format('grant turnlog_app to %I', current_user);
    end if;
end
$$
