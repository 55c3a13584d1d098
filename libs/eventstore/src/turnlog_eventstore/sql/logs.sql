-- All logs by name.
select log from turnlog.logs order by log
