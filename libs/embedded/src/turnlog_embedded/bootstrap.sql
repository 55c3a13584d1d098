CREATE ROLE turnlog_app LOGIN;
CREATE DATABASE turnlog OWNER turnlog;
