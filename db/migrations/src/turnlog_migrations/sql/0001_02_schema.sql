-- One schema holds everything of ours, so that a shared database keeps its public schema.
create schema turnlog
