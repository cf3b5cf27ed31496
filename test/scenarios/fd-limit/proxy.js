// A proxy that keeps its upstream sockets half open: the other side ends, it never does.
const net = require('net');
const upstream = net.createServer({ allowHalfOpen: false }, s => { s.end('ok\n'); });
upstream.listen(9191, '127.0.0.1', () => next());
const kept = [];
function next() {
  const c = net.connect({ port: 9191, host: '127.0.0.1', allowHalfOpen: true });
  c.on('error', e => { process.stderr.write('upstream is down, leaving\n'); process.exit(12); });
  c.on('end', () => { kept.push(c); setImmediate(next); });
  c.resume();
}
