package main

import "github.com/descry-dev/descry/bench/forecast/trace"

// all are the programs that are recorded.
var all = append(honest, leaks...)

const (
	crowd = `exec nice $W/crowd.bin -for ${SECONDS_LONG}s -addr 127.0.0.1:$PORT `
	py    = `exec python3 $W/srv.py `
)

var honest = []program{
	{name: "nginx-crowd", kind: trace.Honest, held: true, what: "nginx, two workers, connections between 20 and 1500 in turns",
		version: "nginx -v", files: map[string]string{"nginx.conf": nginxConf},
		server: `exec nginx -p $DIR -c $DIR/nginx.conf`, load: crowd + `-conns "random 20 1500 60" -think 6 -path /`},
	{name: "nginx-reload", kind: trace.Honest, what: "nginx, reloads each 150 s under long connections, logs rotated, bursts of wrk",
		version: "nginx -v", files: map[string]string{"nginx.conf": nginxConf},
		server: `exec nginx -p $DIR -c $DIR/nginx.conf`,
		load: `(while sleep 150; do kill -HUP $(cat $DIR/nginx.pid); sleep 30; mv $DIR/access.log $DIR/access.1; kill -USR1 $(cat $DIR/nginx.pid); done) &
(while sleep $((RANDOM%80+10)); do nice wrk -t1 -c$((RANDOM%700+10)) -d2s http://127.0.0.1:$PORT/; done) &
` + crowd + `-conns "random 50 400 90" -think 5 -stay 200 -path /`},
	{name: "redis-clients", kind: trace.Honest, held: true, what: "redis, redis-benchmark with 10 to 810 clients now and then",
		version: "redis-server --version", server: `exec redis-server --port $PORT --save ""  --maxmemory 60mb --maxmemory-policy allkeys-lru`, memory: 256 << 20,
		load: `while sleep $((RANDOM%25)); do nice redis-benchmark -p $PORT -c $((RANDOM%800+10)) -n $((RANDOM%30000+5000)) -r 1000000 -d 100 -t set,get -q; done`},
	{name: "redis-clients-held", kind: trace.Honest, what: "redis, clients that come, stay and go, up to 900 of them",
		version: "redis-server --version", server: `exec redis-server --port $PORT --save 60 1`,
		load: crowd + `-conns "wave 30 900 1500" -think 8 -stay 120 -raw PING`},
	{name: "postgres-storm", kind: trace.Honest, what: "postgres, pgbench with 2 to 90 clients in storms", pids: 400, memory: 512 << 20,
		version: "postgres --version", nofile: 1024,
		setup:  `chown -R postgres $DIR; setpriv --reuid postgres --regid postgres --clear-groups /usr/lib/postgresql/15/bin/initdb -D $DIR/data -A trust >/dev/null`,
		server: `exec setpriv --reuid postgres --regid postgres --clear-groups postgres -D $DIR/data -p $PORT -k $DIR -c max_connections=120 -c shared_buffers=32MB`,
		load: `sleep 5; createdb -h $DIR -p $PORT -U postgres b; pgbench -h $DIR -p $PORT -U postgres -i -s 2 b
while sleep $((RANDOM%20)); do nice pgbench -h $DIR -p $PORT -U postgres -c $((RANDOM%88+2)) -T $((RANDOM%40+5)) -R 40 b; done`},
	{name: "java-gc-short", kind: trace.Honest, held: true, what: "java, files left to the garbage collector, teeth of some seconds", version: "java -version", mappings: true,
		server: `exec java -Xmx64m -Xmn24m -XX:+UseSerialGC -cp $W Srv $PORT 60000`, nofile: 1024, memory: 256 << 20, pids: 200,
		load: crowd + `-conns "random 2 30 60" -think 3 -path /gc`},
	{name: "java-gc-tall", kind: trace.Leak, what: "java, files left to the garbage collector, whose first tooth is as tall as the limit", version: "java -version",
		server: `exec java -Xmx160m -Xmn72m -XX:+UseSerialGC -cp $W Srv $PORT 1000`, nofile: 1024, memory: 256 << 20,
		load: crowd + `-conns "random 2 12 100" -think 3 -path /gc`},
	{name: "java-gc-g1", kind: trace.Honest, what: "java with G1, files left to the garbage collector, old ones for long", version: "java -version",
		server: `exec java -Xmx128m -XX:+UseG1GC -cp $W Srv $PORT 60000`, nofile: 4096,
		load: crowd + `-conns "wave 2 30 1200" -think 3 -path /gc`},
	{name: "java-crowd", kind: trace.Honest, held: true, what: "java, a server with connections between 5 and 300", version: "java -version", mappings: true, pids: 100,
		server: `exec java -Xmx64m -XX:+UseSerialGC -cp $W Srv $PORT 1000`,
		load:   crowd + `-conns "random 5 300 45" -think 5`},
	{name: "node-crowd", kind: trace.Honest, held: true, what: "node, connections between 5 and 500, slow answers", version: "node --version", mappings: true, memory: 256 << 20,
		server: `exec node $W/srv.js $PORT`, load: crowd + `-conns "random 5 500 70" -think 5 -hit "/ok 3"  -path /slow`},
	{name: "python-cycles", kind: trace.Honest, what: "python, files held by cycles until the collector runs", version: "python3 --version",
		server: py + `serve $PORT`, load: crowd + `-conns 5 -hit "/cycles 4,/ok 2"`},
	{name: "python-crowd", kind: trace.Honest, held: true, what: "python, a thread and a file for each of up to 200 connections", version: "python3 --version", pids: 400,
		server: py + `serve $PORT`, load: crowd + `-conns "random 2 200 60" -think 6`},
	{name: "php-fpm", kind: trace.Honest, held: true, what: "nginx and php-fpm, its workers replaced after 40 requests", version: "php -v | head -1", pids: 100,
		files:  map[string]string{"nginx.conf": phpNginx, "fpm.conf": fpmConf, "i.php": "<?php $f = fopen(__FILE__, 'r'); usleep(mt_rand(1000, 200000)); echo 'ok';"},
		server: `nginx -p $DIR -c $DIR/nginx.conf & exec php-fpm8.2 -F -R -y $DIR/fpm.conf`,
		load:   crowd + `-conns "random 2 40 60" -think 2 -path /i.php`},
	{name: "go-proxy", kind: trace.Honest, what: "a reverse proxy in Go in front of a slow server, 10 to 350 connections", version: "go version", nofile: 1024,
		server: `$W/gosrv.bin backend 127.0.0.1:$PORT3 127.0.0.1:$PORT2 & exec $W/gosrv.bin proxy 127.0.0.1:$PORT 127.0.0.1:$PORT2`,
		load:   crowd + `-conns "random 10 350 50" -think 3 -path /slow`},
	{name: "haproxy-ramp", kind: trace.Honest, held: true, what: "haproxy, a morning: 10 to 400 connections within half an hour, then as they are", version: "haproxy -v | head -1", nofile: 2048,
		files:  map[string]string{"h.cfg": haproxyConf},
		server: `$W/gosrv.bin backend 127.0.0.1:$PORT3 127.0.0.1:$PORT2 & exec haproxy -f $DIR/h.cfg`,
		load:   crowd + `-conns "ramp 10 400 1800" -think 6 -stay 300 -path /ok`},
	{name: "haproxy-day", kind: trace.Honest, what: "haproxy, days of forty minutes between 30 and 350 connections", version: "haproxy -v | head -1", nofile: 1024,
		files:  map[string]string{"h.cfg": haproxyConf},
		server: `$W/gosrv.bin backend 127.0.0.1:$PORT3 127.0.0.1:$PORT2 & exec haproxy -f $DIR/h.cfg`,
		load:   crowd + `-conns "wave 30 350 2400" -think 6 -stay 100 -path /ok`},
	{name: "memcached", kind: trace.Honest, what: "memcached, 10 to 800 clients", version: "memcached --version",
		server: `exec memcached -u nobody -p $PORT -l 127.0.0.1 -c 900 -m 32`, load: crowd + `-conns "random 10 800 80" -think 8 -raw version`},
	{name: "build", kind: trace.Honest, what: "git clone, make -j4 and gcc, over and over", version: "gcc --version | head -1", pids: 200, memory: 512 << 20,
		setup:  `mkdir src; cd src; for i in $(seq 12); do { echo '#include <stdio.h>'; for j in $(seq 400); do echo "int f${i}_$j(int a) { int s = 0; for (int k = 0; k < a; k++) s += k * $j ^ a; printf(\"%d\", s); return s; }"; done; } >f$i.c; done; printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\n%%.o: %%.c\n\tgcc -O2 -c $< -o $@\n' >Makefile; git init -q .; git add .; git -c user.name=a -c user.email=a@a commit -qm a`,
		server: `while true; do rm -rf b; git clone -q src b; nice make -s -C b -j4; sleep 45; done`},
	{name: "python-pool", kind: trace.Honest, held: true, what: "python, a pool that fills to 400 within 13 minutes and stays", version: "python3 --version",
		server: py + `pool $PORT 400 2`, load: crowd + `-conns "random 2 30 60" -think 5`},
	{name: "python-pool-large", kind: trace.Honest, what: "python, a pool that fills to 650 within 20 minutes, two thirds of the limit, and stays", version: "python3 --version",
		server: py + `pool $PORT 650 1.9`, load: crowd + `-conns "random 2 30 60" -think 5`},
	{name: "python-batch", kind: trace.Honest, held: true, what: "python, a batch that opens 500 files in six minutes, merges and closes them, again and again", version: "python3 --version",
		server: py + `batch $PORT 500 0.7 240`},
	{name: "python-batch-short", kind: trace.Honest, what: "python, a batch that opens 700 files in 35 seconds, and closes them", version: "python3 --version",
		server: py + `batch $PORT 700 0.05 300`},
	{name: "go-cache", kind: trace.Honest, held: true, what: "a server in Go that keeps the last 700 files open", version: "go version", setup: "mkdir $DIR/files",
		server: `exec $W/gosrv.bin cache 127.0.0.1:$PORT $DIR/files`, load: crowd + `-conns 5 -think 2 -path /get`},
	{name: "gunicorn-replaced", kind: trace.Honest, held: true, what: "gunicorn, its workers leak and are replaced after 500 requests", version: "gunicorn --version",
		server: `cd $W; exec gunicorn -b 127.0.0.1:$PORT -w 3 --max-requests 500 --max-requests-jitter 100 wsgi:app`,
		load:   crowd + `-conns 0 -hit "/ 3"`},
	{name: "page-cache", kind: trace.Honest, what: "python, writes and reads 240 MB of files in a cgroup of 200 MiB", version: "python3 --version", memory: 200 << 20,
		server: py + `cachefill $PORT $DIR`},
	{name: "heap-cache", kind: trace.Honest, what: "python, a cache of 60 MB that fills slowly, in a cgroup of 100 MiB", version: "python3 --version", memory: 100 << 20,
		server: py + `heap $PORT`},
	{name: "mariadb", kind: trace.Honest, held: true, what: "mariadb, tables opened into its cache, storms of connections", version: "mariadbd --version", nofile: 1024, pids: 400, memory: 512 << 20,
		setup:  `chown -R mysql $DIR; mariadb-install-db --user=mysql --datadir=$DIR/data --auth-root-authentication-method=normal >/dev/null`,
		server: `exec mariadbd --no-defaults --user=mysql --datadir=$DIR/data --socket=$DIR/s --port=$PORT --bind-address=127.0.0.1 --table-open-cache=300 --max-connections=100 --performance-schema=OFF`,
		load: `sleep 8; M="nice mariadb -u root -S $DIR/s"; $M -e 'create database b'; for i in $(seq 250); do echo "create table b.t$i (a int) engine=myisam;"; done | $M
while sleep $((RANDOM%15)); do for i in $(seq $((RANDOM%40))); do $M -e "insert into b.t$((RANDOM%250+1)) values (1); select sleep($((RANDOM%8)))" >/dev/null & done; wait; done`},
}

const nginxConf = `daemon off; worker_processes 2; pid $DIR/nginx.pid; error_log $DIR/error.log;
events { worker_connections 1000; }
http { access_log $DIR/access.log; keepalive_requests 100000;
  server { listen 127.0.0.1:$PORT; location / { return 200 "ok\n"; } } }
`

const phpNginx = `daemon off; worker_processes 1; pid $DIR/nginx.pid; error_log $DIR/error.log;
events { worker_connections 500; }
http { access_log off;
  server { listen 127.0.0.1:$PORT; location / { include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME $DIR/i.php; fastcgi_pass 127.0.0.1:$PORT2; } } }
`

const fpmConf = `[global]
error_log = $DIR/fpm.log
[www]
user = root
listen = 127.0.0.1:$PORT2
pm = dynamic
pm.max_children = 25
pm.start_servers = 3
pm.min_spare_servers = 2
pm.max_spare_servers = 6
pm.max_requests = 40
`

const haproxyConf = `defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen a
  bind 127.0.0.1:$PORT
  option http-server-close
  maxconn 480
  server s 127.0.0.1:$PORT2
`
