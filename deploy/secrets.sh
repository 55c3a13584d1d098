#!/bin/sh
# Makes the secrets that compose.yml mounts, once: what is there stays as it is. Passwords are 192 random bits.
#   deploy/secrets.sh [folder]        (deploy/secrets when none is given)
# The folder is for its owner alone; the files in it are readable, since containers read them as users of their own.
set -eu
folder=${1:-"$(dirname "$0")/secrets"}
umask 022
mkdir -p "$folder"
chmod 700 "$folder"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# keep NAME VALUE: writes a file that is not there yet, whole or not at all.
keep() {
    [ -e "$folder/$1" ] && return
    printf '%s\n' "$2" > "$folder/.$1.part"
    mv "$folder/.$1.part" "$folder/$1"
    echo "made $folder/$1"
}

# A password first, then the addresses that hold it.
keep database_owner_password "$(random)"
keep database_app_password "$(random)"
keep nats_password "$(random)"
keep redis_password "$(random)"
keep grafana_password "$(random)"
keep database_owner_url "postgresql://turnlog:$(cat "$folder/database_owner_password")@postgres:5432/turnlog"
keep database_url "postgresql://turnlog_app:$(cat "$folder/database_app_password")@postgres:5432/turnlog"
keep nats_url "nats://turnlog:$(cat "$folder/nats_password")@nats:4222"
keep nats_auth "authorization { user: turnlog, password: \"$(cat "$folder/nats_password")\" }"
keep redis_url "redis://:$(cat "$folder/redis_password")@redis:6379/0"
keep redis_auth "requirepass $(cat "$folder/redis_password")"
