-- How far a consumer has come.
select position from turnlog.checkpoints where log = $1 and consumer = $2
