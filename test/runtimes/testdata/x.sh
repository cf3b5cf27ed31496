# For dash and bash; /dev/tcp is bash's alone.
set -e
op=$1
shift
case $op in
open) read -r line <"$1" ;;
fill) for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do printf '%65536d\n' $i; done >"$1" ;;
many) i=3; while :; do eval "exec $i</dev/null"; i=$((i + 1)); done ;;
write) : >"$1" ;;
source) . "$1" ;;
cd) cd "$1" ;;
connect) : >/dev/tcp/$1/$2 ;;
exec) "$@" ;;
big) x=$(head -c 4000000 /dev/zero | tr '\0' x); /bin/true "$x" ;;
fork) while :; do sleep 60 & done ;;
memory) x=xxxxxxxxxxxxxxxx; while :; do x=$x$x$x$x; done ;;
pipe) trap '' PIPE; while :; do printf '%65536d\n' 1; done ;;
esac
