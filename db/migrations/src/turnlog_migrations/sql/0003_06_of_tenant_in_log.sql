-- What turnlog_auditor sees: the events of one tenant in one log, in the very form of the index events_by_tenant. A role
-- of its own, since behind another policy that index could not be used: the planner looks behind a policy only with
-- operators that surely leak nothing, and || is not one of them.
create policy of_tenant_in_log on turnlog.events for select to turnlog_auditor
    using ((tenant || '/' || log) = current_setting('turnlog.tenant_in_log', true))
