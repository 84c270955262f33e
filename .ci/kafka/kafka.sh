#!/usr/bin/env bash
# A real Apache Kafka for tests: fetched as Maven artifacts, run on 127.0.0.1, and gone afterwards.
#
# Start at usage(), then run(). One node or three, each broker and controller in one JVM (KRaft), as little memory as will do.
# What this script started is stopped by process id, and only after a look at that process's command line.
# Bash 3.2 and POSIX tools only, so that macOS can run it, too.
#
# Not here, on purpose: containers, TLS, SASL, and settings that make Kafka safe to keep data in.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VERSION=${VELTRIX_KAFKA_VERSION:-4.3.1}
HEAP=${VELTRIX_KAFKA_HEAP:--Xms128m -Xmx512m}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/veltrix
DIST=$CACHE/kafka-$VERSION
START_SECONDS_MAX=90
# Longer than Kafka's own wait for a quorum that is going away, too.
STOP_SECONDS_MAX=20

EX_USAGE=64 EX_UNAVAILABLE=69 EX_SOFTWARE=70

# What clean_up() undoes, whenever this script ends: a half-made directory, a cluster, a command (its process group), its guard.
TRASH="" CLUSTER="" COMMAND="" GUARD=""
# A JVM's memory of the classes that a broker loads: a start takes half the time. Named after the Java that can read it.
ARCHIVE=""

usage() {
    cat <<TEXT
kafka.sh: a real Apache Kafka ($VERSION) for tests, on 127.0.0.1

  kafka.sh run [--nodes 1|3] [--port P] -- COMMAND [ARG...]
      Starts a broker, runs COMMAND with VELTRIX_TEST_BOOTSTRAP=host:port, stops the broker,
      and ends with COMMAND's exit code. COMMAND also gets VELTRIX_TEST_KAFKA_DIR, which the
      subcommands below take for --dir, so that a test can kill and restart nodes.
  kafka.sh fetch
      Puts the jars into $DIST,
      with Maven. Quick when they are there; all other subcommands that need them do it, too.
  kafka.sh start [--nodes 1|3] [--port P] [--dir D]
      Starts a cluster and leaves it running. Prints its bootstrap address and its directory.
      --port P: node i listens on P+i-1; the ports after these are the controllers'. Default: free ones.
      --dir D:  where data and logs go. Default: a temporary directory, which 'stop' removes.
  kafka.sh stop --dir D
  kafka.sh kill NODE --dir D        as in a crash: SIGKILL
  kafka.sh restart NODE --dir D     stops NODE if it runs, starts it, waits until it answers
  kafka.sh topic NAME PARTITIONS [RF] --dir D

Needs Java 17 or newer, and Maven for the first fetch.
Environment: VELTRIX_KAFKA_VERSION (now $VERSION), VELTRIX_KAFKA_HEAP (now $HEAP), XDG_CACHE_HOME.
Exit codes: $EX_USAGE wrong usage, $EX_UNAVAILABLE Java or Maven missing, $EX_SOFTWARE Kafka did not do what it should.
TEXT
}

say() { echo "kafka.sh: $*" >&2; }
die() { local code=$1; shift; say "$*"; exit "$code"; }
misuse() { die "$EX_USAGE" "$*; see kafka.sh --help"; }

# --- Java and Maven -------------------------------------------------------------------------------------------------------

# "17.0.15", or nothing. A macOS without Java has a `java` that only complains.
java_version() { java -version 2>&1 | sed -n 's/.* version "\([0-9][^"]*\)".*/\1/p' | head -n 1; }

# One line that says what is missing and how to get it. $1 says whether Maven is wanted, too.
need_tools() {
    local version major missing="" brew="" apt=""
    version=$(java_version || true)
    major=${version%%.*}
    ARCHIVE=$DIST/classes-$version.jsa
    if [ "${major:-0}" -lt 17 ]; then
        missing="java 17 or newer (found: ${version:-none})"
        brew="openjdk"
        # Named where the distribution has it: its default may be older (Ubuntu 22.04) or the only one (Debian 13).
        if apt-cache show openjdk-17-jre-headless >/dev/null 2>&1; then apt=openjdk-17-jre-headless; else apt=default-jre-headless; fi
    fi
    if [ "${1:-}" = with-maven ] && ! command -v mvn >/dev/null; then
        missing="${missing:+$missing and }mvn"
        brew="${brew:+$brew }maven"
        apt="${apt:+$apt }maven"
    fi
    [ -n "$missing" ] || return 0
    if [ "$(uname -s)" = Darwin ]; then
        die "$EX_UNAVAILABLE" "missing: $missing; install with: brew install $brew"
    fi
    local sudo="sudo "
    [ "$(id -u)" -ne 0 ] || sudo=""
    die "$EX_UNAVAILABLE" "missing: $missing; install with: ${sudo}apt-get update && ${sudo}apt-get install -y $apt"
}

fetched() { [ -d "$DIST/lib" ]; }

fetch() {
    if fetched; then need_tools; else need_tools with-maven; download; fi
    [ -e "$ARCHIVE" ] || rehearse
}

download() {
    say "fetching Kafka $VERSION into $DIST"
    mkdir -p "$CACHE"
    TRASH=$(mktemp -d "$CACHE/fetch.XXXXXX")
    local jars=$TRASH/jars.$$
    if ! mvn -q -B -ntp -f "$HERE/pom.xml" -Dkafka.version="$VERSION" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$jars/lib" >"$TRASH/log" 2>&1; then
        cat "$TRASH/log" >&2
        die "$EX_SOFTWARE" "Maven could not fetch Kafka $VERSION"
    fi
    # If another fetch was first, mv puts ours inside of its folder: take it away again.
    mv "$jars" "$DIST"
    rm -rf "$DIST/jars.$$" "$TRASH"
    TRASH=""
}

# Starts and stops a broker once: shows that the jars are whole, and leaves the class archive.
rehearse() {
    say "trying Kafka $VERSION out"
    make_cluster_dir
    REHEARSAL="-XX:ArchiveClassesAtExit=$CLUSTER/classes.jsa" start_cluster 1 "" "$CLUSTER"
    stop_cluster "$CLUSTER" TERM
    # Without an archive each start is slower, and each fetch tries again; nothing worse.
    if [ -s "$CLUSTER/classes.jsa" ]; then
        # Two steps: only a move inside of one file system is atomic.
        mv "$CLUSTER/classes.jsa" "$ARCHIVE.$$"
        mv "$ARCHIVE.$$" "$ARCHIVE"
    else
        say "this Java writes no class archive: a start takes some seconds longer"
    fi
    remove_cluster "$CLUSTER"
    CLUSTER=""
}

# Becomes a java with Kafka's class path. Arguments: options, class, the class's arguments.
exec_java() {
    set -- -XX:+UseSerialGC -Djava.awt.headless=true -Dlog4j2.configurationFile="file:$HERE/log4j2.xml" -cp "$DIST/lib/*" "$@"
    if [ -e "$ARCHIVE" ]; then set -- -XX:SharedArchiveFile="$ARCHIVE" "$@"; fi
    exec java "$@"
}

# For what runs and ends: little heap, and no time spent on optimising.
exec_tool() { exec_java -Xmx128m -XX:TieredStopAtLevel=1 "$@"; }

# --- Nodes ----------------------------------------------------------------------------------------------------------------
# A cluster is a directory: cluster-id, base-port, nodes (how many), and n1/ n2/ n3/ with server.properties, log, data/ and,
# while the node should be running, pid. `made-by-kafka.sh` says that the directory is ours to remove.

client_port() { echo $(($(cat "$1/base-port") + $2 - 1)); }
controller_port() { echo $(($(cat "$1/base-port") + $(cat "$1/nodes") + $2 - 1)); }

bootstrap() {
    local dir=$1 i list=""
    for i in $(seq 1 "$(cat "$dir/nodes")"); do list="$list,127.0.0.1:$(client_port "$dir" "$i")"; done
    echo "${list#,}"
}

# Whether the node's process lives. A process id may have passed to a stranger: its command line must name our node.
runs() {
    local node=$1 pid
    pid=$(cat "$node/pid" 2>/dev/null) || return 1
    if [ -d /proc/self ]; then
        tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline"
    else
        ps -ww -o args= -p "$pid" | tr ' ' '\n'
    fi | grep -xF "$node/server.properties" >/dev/null
}

signal_node() { if runs "$2"; then kill -s "$1" "$(cat "$2/pid")" 2>/dev/null || true; fi; }

# Waits until the node's process is gone; kills it when it takes too long.
await_end() {
    local node=$1 deadline=$((SECONDS + STOP_SECONDS_MAX))
    while runs "$node"; do
        if [ "$SECONDS" -ge "$deadline" ]; then signal_node KILL "$node"; fi
        sleep 0.1
    done
    rm -f "$node/pid"
}

write_properties() {
    local dir=$1 i=$2 n voters="" replicas=1 in_sync=1
    for n in $(seq 1 "$(cat "$dir/nodes")"); do voters="$voters,$n@127.0.0.1:$(controller_port "$dir" "$n")"; done
    if [ "$(cat "$dir/nodes")" -eq 3 ]; then replicas=3 in_sync=2; fi
    cat <<TEXT
process.roles=broker,controller
node.id=$i
# A fixed quorum: the nodes are known, and formatting needs no further word about them.
controller.quorum.voters=${voters#,}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:$(client_port "$dir" "$i"),CONTROLLER://127.0.0.1:$(controller_port "$dir" "$i")
advertised.listeners=PLAINTEXT://127.0.0.1:$(client_port "$dir" "$i")
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/n$i/data

# Kafka's default, so that tests see what would come to be by itself where it should not.
auto.create.topics.enable=true
num.partitions=12
default.replication.factor=$replicas
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$replicas
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$in_sync
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$in_sync

# Small and quick instead of large and patient.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=6000
num.network.threads=2
num.io.threads=2
background.threads=2
log.cleaner.dedupe.buffer.size=16777216
log.segment.bytes=268435456
log.retention.bytes=1073741824
TEXT
}

exec_format() {
    local dir=$1 node=$1/n$2
    exec_tool kafka.tools.StorageTool format -t "$(cat "$dir/cluster-id")" -c "$node/server.properties" >>"$node/log" 2>&1
}

# The JVM gets a process group of its own, so that a ctrl-C at the terminal is ours to act on. No quotes for $HEAP: it is words.
launch_node() {
    local node=$1
    set -m
    # shellcheck disable=SC2086
    (trap '' HUP; exec_java $HEAP ${REHEARSAL:+"$REHEARSAL"} kafka.Kafka "$node/server.properties") </dev/null >>"$node/log" 2>&1 &
    echo $! >"$node/pid"
    set +m
    disown $!
    # Until it has become java, the process's command line is ours.
    until runs "$node" || ! kill -0 $! 2>/dev/null; do sleep 0.01; done
}

hex() { od -An -v -tx1 | tr -d ' \n'; }

# Asks for the cluster's metadata (version 2, no topics) and checks the answer: from our cluster, and $3 brokers or more in it.
# A port that only takes connections does not count, and neither does another run's broker on a port that both wanted.
answers() {
    local port=$1 cluster_id=$2 brokers=$3 reply
    reply=$(
        exec 2>/dev/null
        exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
        printf '\x00\x00\x00\x0e\x00\x03\x00\x02\x00\x00\x00\x01\xff\xff\x00\x00\x00\x00' >&3
        # By bytes, since neither side closes: no other way takes exactly the answer on both Linux and macOS.
        length=$(dd bs=1 count=4 <&3 | hex)
        dd bs=1 count=$((16#${length:-0})) <&3 | hex
    ) || return 1
    [ "${#reply}" -ge 16 ] && [ "$((16#${reply:8:8}))" -ge "$brokers" ] || return 1
    case $reply in *"$(printf %s "$cluster_id" | hex)"*) ;; *) return 1 ;; esac
}

# Waits until node $2 answers. An answer may take as long as it likes; a dead process or the deadline ends the wait.
await_ready() {
    local dir=$1 i=$2 brokers=$3 port id deadline=$((SECONDS + START_SECONDS_MAX)) asking
    port=$(client_port "$dir" "$i") id=$(cat "$dir/cluster-id")
    (until answers "$port" "$id" "$brokers"; do runs "$dir/n$i" || exit 1; sleep 0.05; done) &
    asking=$!
    while kill -0 "$asking" 2>/dev/null; do
        if [ "$SECONDS" -ge "$deadline" ]; then kill "$asking" 2>/dev/null || true; fi
        sleep 0.05
    done
    wait "$asking"
}

# --- Clusters -------------------------------------------------------------------------------------------------------------

make_cluster_dir() {
    CLUSTER=$(mktemp -d "${TMPDIR:-/tmp}/veltrix-kafka.XXXXXX")
    CLUSTER=$(cd "$CLUSTER" && pwd -P)
    touch "$CLUSTER/made-by-kafka.sh"
}

# Only what this script made, ever.
remove_cluster() { if [ -e "$1/made-by-kafka.sh" ]; then rm -rf "$1"; fi; }

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# The first of $1 free ports in a row, below those that systems hand out by themselves.
free_base_port() {
    local count=$1 base i
    for _ in $(seq 1 100); do
        base=$((20000 + RANDOM % 10000))
        for i in $(seq 0 $((count - 1))); do if taken $((base + i)); then continue 2; fi; done
        echo "$base"
        return 0
    done
    return 1
}

# 22 characters of base64 that hold 16 bytes. Symbols become letters: an id that starts with '-' would be taken for an option.
new_cluster_id() { echo "$(head -c 15 /dev/urandom | base64 | tr '+/' 'ab')AA"; }

# Nodes, base port (empty: any), directory. A port that was free may be taken a moment later: if we chose it, choose another.
start_cluster() {
    local nodes=$1 port=$2 dir=$3 began=$SECONDS base p
    if [ -n "$port" ]; then
        for p in $(seq "$port" $((port + 2 * nodes - 1))); do if taken "$p"; then misuse "port $p is taken"; fi; done
    fi
    for _ in 1 2 3 4 5; do
        base=${port:-$(free_base_port $((2 * nodes)))} || die "$EX_SOFTWARE" "no free ports from 20000 to 30000"
        if try_start "$nodes" "$base" "$dir"; then
            say "Kafka $VERSION is ready at $(bootstrap "$dir") after $((SECONDS - began)) s"
            return 0
        fi
        stop_cluster "$dir" KILL
        if [ -n "$port" ] || ! grep -qs "Address already in use" "$dir"/n*/log; then break; fi
    done
    tail -n 40 "$dir"/n*/log >&2
    die "$EX_SOFTWARE" "Kafka did not start; the end of its log is above"
}

try_start() {
    local nodes=$1 port=$2 dir=$3 i pids=""
    echo "$nodes" >"$dir/nodes"
    echo "$port" >"$dir/base-port"
    new_cluster_id >"$dir/cluster-id"
    for i in $(seq 1 "$nodes"); do
        rm -rf "$dir/n$i"
        mkdir -p "$dir/n$i"
        write_properties "$dir" "$i" >"$dir/n$i/server.properties"
        exec_format "$dir" "$i" &
        pids="$pids $!"
    done
    for i in $pids; do wait "$i" || return 1; done
    for i in $(seq 1 "$nodes"); do launch_node "$dir/n$i"; done
    for i in $(seq 1 "$nodes"); do await_ready "$dir" "$i" "$nodes" || return 1; done
}

# $2 is the signal: TERM for a clean end, KILL where the data is not wanted any more.
stop_cluster() {
    local node
    for node in "$1"/n[0-9]; do signal_node "$2" "$node"; done
    for node in "$1"/n[0-9]; do await_end "$node"; done
}

restart_node() {
    local dir=$1 i=$2 node
    signal_node TERM "$dir/n$i"
    await_end "$dir/n$i"
    launch_node "$dir/n$i"
    local running=0
    for node in "$dir"/n[0-9]; do if runs "$node"; then running=$((running + 1)); fi; done
    if ! await_ready "$dir" "$i" "$running"; then
        tail -n 40 "$dir/n$i/log" >&2
        die "$EX_SOFTWARE" "node $i did not come back; the end of its log is above"
    fi
}

# --- Subcommands ----------------------------------------------------------------------------------------------------------

run() {
    [ $# -gt 0 ] || misuse "run needs a command after --"
    make_cluster_dir
    guard $$ "$CLUSTER"
    start_cluster "$NODES" "$PORT" "$CLUSTER"
    # A group of its own, so that all of it can be signalled; hence not at the terminal, and no input from there.
    if [ -t 0 ]; then exec </dev/null; fi
    set -m
    VELTRIX_TEST_BOOTSTRAP=$(bootstrap "$CLUSTER") VELTRIX_TEST_KAFKA_DIR=$CLUSTER "$@" <&0 &
    COMMAND=$!
    set +m
    echo "$COMMAND" >"$CLUSTER/command"
    local code=0
    wait "$COMMAND" || code=$?
    exit "$code"
}

# For the one end that can't be trapped: SIGKILL for this script. Then a process that watches it does what clean_up() would have.
guard() {
    set -m
    (
        trap '' HUP INT TERM
        while kill -0 "$1"; do sleep 1; done
        end_group "$(cat "$2/command")"
        stop_cluster "$2" KILL
        remove_cluster "$2"
    ) </dev/null >/dev/null 2>&1 &
    GUARD=$!
    set +m
    disown $!
}

# All processes of a group: the command, and what it left behind.
end_group() {
    local group=$1 deadline=$((SECONDS + 5))
    kill -s TERM -- "-$group" 2>/dev/null || return 0
    while kill -0 -- "-$group" 2>/dev/null; do
        if [ "$SECONDS" -ge "$deadline" ]; then kill -s KILL -- "-$group" 2>/dev/null || true; fi
        sleep 0.1
    done
}

clean_up() {
    local code=$? job
    # From here on a second ctrl-C changes nothing: what we started must end.
    trap '' INT TERM HUP
    trap - EXIT
    {
        if [ -n "$COMMAND" ]; then end_group "$COMMAND"; fi
        for job in $(jobs -p); do kill -s KILL "$job" || true; done
        wait
        # Its data goes, so a broker need not say goodbye, which takes seconds.
        if [ -n "$CLUSTER" ]; then stop_cluster "$CLUSTER" KILL; fi
    } 2>/dev/null # Bash's own words about jobs that were killed.
    if [ -n "$CLUSTER" ]; then remove_cluster "$CLUSTER"; fi
    if [ -n "$TRASH" ]; then rm -rf "$TRASH"; fi
    # The guard ignores gentler signals; its group is itself and a `sleep 1`.
    if [ -n "$GUARD" ]; then kill -s KILL -- "-$GUARD" 2>/dev/null || true; fi
    exit "$code"
}

start() {
    if [ -z "$DIR" ]; then
        make_cluster_dir
    else
        mkdir -p "$DIR"
        [ -z "$(ls -A "$DIR")" ] || misuse "$DIR is not empty; name an empty or a new directory"
        CLUSTER=$(cd "$DIR" && pwd -P)
    fi
    start_cluster "$NODES" "$PORT" "$CLUSTER"
    echo "bootstrap $(bootstrap "$CLUSTER")"
    echo "dir $CLUSTER"
    # It stays up: nothing to undo.
    CLUSTER=""
}

topic() {
    local name=$1 partitions=$2 replicas=${3:-}
    (exec_tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$(bootstrap "$DIR")" --create --if-not-exists \
        --topic "$name" --partitions "$partitions" ${replicas:+--replication-factor "$replicas"})
}

# --dir, made absolute: the directory of a cluster.
need_cluster() {
    [ -n "$DIR" ] || misuse "$1 needs --dir"
    [ -e "$DIR/nodes" ] || misuse "$DIR holds no cluster"
    DIR=$(cd "$DIR" && pwd -P)
}

need_node() {
    case ${2:-} in [1-3]) ;; *) misuse "$1 needs the number of a node" ;; esac
    [ -d "$DIR/n$2" ] || misuse "$DIR has no node $2"
}

main() {
    local subcommand=${1:-} words=()
    [ $# -eq 0 ] || shift
    NODES=1 PORT="" DIR=""
    while [ $# -gt 0 ]; do
        case $1 in
        --) shift; break ;;
        --help | -h) usage; exit 0 ;;
        --nodes | --port | --dir)
            [ $# -ge 2 ] || misuse "$1 needs a value"
            case $1 in --nodes) NODES=$2 ;; --port) PORT=$2 ;; --dir) DIR=$2 ;; esac
            shift 2
            ;;
        -*) misuse "unknown option $1" ;;
        *) words+=("$1"); shift ;;
        esac
    done
    case $NODES in 1 | 3) ;; *) misuse "--nodes is 1 or 3, not $NODES" ;; esac
    case $PORT in *[!0-9]*) misuse "--port is a number, not $PORT" ;; esac

    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM

    case $subcommand in
    stop | kill | restart | topic)
        DIR=${DIR:-${VELTRIX_TEST_KAFKA_DIR:-}}
        need_cluster "$subcommand"
        ;;
    esac
    case $subcommand in
    run) fetch; run "$@" ;;
    fetch) fetch; echo "$DIST" ;;
    start) fetch; start ;;
    stop) stop_cluster "$DIR" TERM; remove_cluster "$DIR" ;;
    kill) need_node kill "${words[0]:-}"; signal_node KILL "$DIR/n${words[0]}"; await_end "$DIR/n${words[0]}" ;;
    restart) need_node restart "${words[0]:-}"; fetch; restart_node "$DIR" "${words[0]}" ;;
    topic)
        case ${#words[@]} in 2 | 3) ;; *) misuse "topic needs a name and a number of partitions" ;; esac
        fetch
        topic "${words[@]}"
        ;;
    --help | -h | help) usage ;;
    "") usage >&2; exit "$EX_USAGE" ;;
    *) misuse "unknown subcommand $subcommand" ;;
    esac
}

main "$@"
