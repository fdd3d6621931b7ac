# Ends a server and removes its folder as soon as the process that started it is gone, however it went: the
# system then closes that process's end of the pipe that is the standard input here.
#
# Usage: sh watchdog.sh FOLDER    Orders, one a line: `watch PID`, `kill`
trap '' HUP INT QUIT TERM
folder=$1
server=

# The ids of the server's living children. PostgreSQL's are in sessions of their own, so no process group
# holds them all. Not every system with /proc has `ps`.
children() {
    if [ -r /proc/self/stat ]; then
        cat /proc/[0-9]*/stat 2>/dev/null | sed 's/^\([0-9]*\) .*) /\1 /'
    else
        ps -A -o pid= -o stat= -o ppid=
    fi | while read -r pid state parent rest; do
        case $state in
        Z*) ;;
        *) if [ "$parent" = "$server" ]; then echo "$pid"; fi ;;
        esac
    done
}

end() {
    [ -n "$server" ] || return 0
    # Stopped, it has no new children while they are being killed.
    kill -STOP "$server" 2>/dev/null
    for round in 1 2 3; do
        found=$(children)
        [ -n "$found" ] || break
        # One word for each id.
        kill -KILL $found 2>/dev/null
    done
    kill -KILL "$server" 2>/dev/null
    server=
}

while read -r order pid; do
    case $order in
    watch) server=$pid ;;
    kill) end ;;
    esac
done
end

# What PostgreSQL keeps outside of its folder: a few bytes of shared memory, named in the seventh line.
if [ -r "$folder/data/postmaster.pid" ]; then
    set -- $(sed -n 7p "$folder/data/postmaster.pid")
    [ -z "$2" ] || ipcrm -m "$2" 2>/dev/null
fi

# A killed process may live for a moment, and still write.
for try in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$folder" 2>/dev/null
    [ -e "$folder" ] || break
    sleep 1
done
