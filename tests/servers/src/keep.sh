# Keeps one throw-away server for a test process: "keep.sh postgres", "keep.sh redis", or "keep.sh
# standby PORT" for one that follows the PostgreSQL server on that port.
#
# It is told what to do by lines on its input, each a word and what goes with it:
#   start PORT SETTINGS   one setting a word, name=value     stop   end it at once
# and answers each with one line, "ok" or "failed". When the input ends, because the test dropped it
# or died in whatever way, it ends the server and removes its directory.
set -u
kind=$1
primary=${2:-}
# A Ctrl-C reaches everyone in the group; the end of the input is the only end here.
trap '' INT TERM HUP

fail() {
    echo "failed $*" | tr '\n' ' '
    echo
}

# PostgreSQL refuses to run as root.
account() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups "$@"
    else
        "$@"
    fi
}

# Frozen processes cannot end.
thaw() {
    children=$(cat /proc/[0-9]*/status 2>/dev/null |
        awk -v parent="$1" '/^Pid:/ { pid = $2 } /^PPid:/ && $2 == parent { print pid }')
    for one in $1 $children; do
        kill -CONT "$one" 2>/dev/null
    done
}

start_postgres() {
    port=$1
    shift
    {
        echo "port = $port"
        echo "unix_socket_directories = '$dir'"
        for setting in "$@"; do
            echo "${setting%%=*} = '${setting#*=}'"
        done
    } >"$dir/data/test.conf"
    # Its locale and its output are not the test's.
    LC_ALL=C account "$bin/pg_ctl" -w -t 60 -D "$dir/data" -l "$dir/log" start >/dev/null 2>&1 \
        </dev/null
}

stop_postgres() {
    pid=$(head -n 1 "$dir/data/postmaster.pid" 2>/dev/null) || return 0
    thaw "$pid"
    account "$bin/pg_ctl" -w -t 60 -D "$dir/data" -m immediate stop >/dev/null 2>&1
}

find_postgres() {
    bin=$(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin 2>/dev/null | sort -V | tail -n 1)
    [ -n "$bin" ] || bin=$(dirname "$(command -v initdb)") || return 1
    [ "$(id -u)" != 0 ] || chown postgres "$dir"
}

make_standby() {
    find_postgres || return 1
    account env PGPASSWORD=super "$bin/pg_basebackup" -h 127.0.0.1 -p "$primary" -U super \
        -D "$dir/data" -R -X stream -c fast --no-sync >"$dir/init.log" 2>&1 </dev/null
}

start_standby() { start_postgres "$@"; }

stop_standby() { stop_postgres; }

make_postgres() {
    find_postgres || return 1
    echo super >"$dir/password"
    chmod 644 "$dir/password"
    LC_ALL=C account "$bin/initdb" -D "$dir/data" -U super -A scram-sha-256 --no-sync \
        --encoding=UTF8 --pwfile="$dir/password" >"$dir/init.log" 2>&1 </dev/null || return 1
    # Later lines win; fsync, full_page_writes and synchronous_commit stay on, as they come.
    account tee -a "$dir/data/postgresql.conf" >/dev/null <<-END
		listen_addresses = '127.0.0.1'
		max_connections = 300
		logging_collector = off
		include_if_exists = 'test.conf'
	END
}

start_redis() {
    port=$1
    shift
    set -- $(for setting in "$@"; do echo "--${setting%%=*} ${setting#*=}"; done)
    redis-server --port "$port" --bind 127.0.0.1 --dir "$dir" --save "" --daemonize no \
        "$@" >>"$dir/log" 2>&1 </dev/null &
    pid=$!
    tries=0
    while ! grep -q "Ready to accept connections" "$dir/log" 2>/dev/null; do
        kill -0 "$pid" 2>/dev/null && [ $tries -lt 200 ] || return 1
        tries=$((tries + 1))
        sleep 0.05
    done
    mv "$dir/log" "$dir/log.started" && echo "$pid" >"$dir/pid"
}

stop_redis() {
    pid=$(cat "$dir/pid" 2>/dev/null) || return 0
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    rm -f "$dir/pid" "$dir/log"
    return 0
}

make_redis() { command -v redis-server >/dev/null; }

dir=$(mktemp -d) || exit 1
if "make_$kind" >/dev/null; then
    echo "ok $dir"
else
    fail "$(tail -n 5 "$dir/init.log" 2>/dev/null)"
fi
while read -r word rest; do
    # Split on purpose: a port and settings without blanks in them.
    if "${word}_$kind" $rest; then echo ok; else fail "$(tail -n 20 "$dir/log" 2>/dev/null)"; fi
done
"stop_$kind"
rm -rf "$dir"
