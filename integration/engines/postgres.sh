# PostgreSQL 15 of Debian 12, by extraction, run by an ordinary user on loopback: a store of queues.
# shellcheck shell=bash

POSTGRES_PASSWORD=pg-pass-123

fetch_postgres() {
    extract bookworm postgres postgresql-15 postgresql-client-15 libpq5 libicu72 libxml2 \
        libldap-2.5-0 libsasl2-2 libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 \
        libcom-err2 libkeyutils1
    # Documents, other languages and the compiler of queries, which is off.
    (cd "$STATE/deb/postgres/usr" && rm -rf share/doc share/man share/locale lib/postgresql/15/lib/bitcode)
}

# as_nobody COMMAND...: the server refuses root. It may read what root reads: our own programs.
as_nobody() {
    setpriv --reuid=65534 --regid=65534 --clear-groups \
        --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search "$@"
}

postgres_env() {
    local root=$STATE/deb/postgres/usr machine
    machine=$(uname -m)
    export LD_LIBRARY_PATH=$root/lib/$machine-linux-gnu PATH=$root/lib/postgresql/15/bin:$PATH
}

postgres_answers() {
    (postgres_env && PGPASSWORD=$POSTGRES_PASSWORD psql -h 127.0.0.1 -p "$(port_of postgres)" \
        -U mlbuild -d postgres -Atc 'SELECT 1')
}

postgres_up() {
    local data=$RUN/postgres
    if ! running postgres; then
        [ -e "$data/PG_VERSION" ] || (
            postgres_env
            rm -rf "$data" "$data.password"
            install -d -o 65534 -g 65534 -m 700 "$data"
            printf %s "$POSTGRES_PASSWORD" > "$data.password"
            chmod 644 "$data.password"
            LC_ALL=C as_nobody initdb --pgdata="$data" --username=mlbuild --pwfile="$data.password" \
                --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 > "$STATE/log/initdb.log" 2>&1 ||
                { tail -n 20 "$STATE/log/initdb.log" >&2; die "initdb failed"; }
        )
        (
            postgres_env
            start postgres setpriv --reuid=65534 --regid=65534 --clear-groups \
                --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search \
                postgres -D "$data" -c listen_addresses=127.0.0.1 -p "$(port_of postgres)" \
                -c unix_socket_directories= -c jit=off -c timezone=GMT -c log_timezone=GMT
        )
    fi
    wait_for postgres 30 postgres_answers
}

postgres_down() {
    stop postgres
    rm -rf "$RUN/postgres" "$RUN/postgres.password"
}
