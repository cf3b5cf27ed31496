// A server with a queue of one whose event loop computes; a worker checks it from beside.
const { Worker, isMainThread, workerData, parentPort } = require('worker_threads');
const http = require('http');
if (isMainThread) {
  const port = Number(process.argv[2]);
  const srv = http.createServer((q, r) => { r.end('ok'); });
  srv.listen({ port, host: '127.0.0.1', backlog: 1 }, () => {
    let due = 2;
    const compute = () => { if (--due === 0) { const until = Date.now() + 20000; while (Date.now() < until) ; } };
    new Worker(__filename, { workerData: port }).on('message', () => { console.log('ready'); setTimeout(compute, 100); });
    srv.once('connection', compute);
  });
} else {
  const fs = require('fs');
  parentPort.postMessage('up');
  setTimeout(() => {
    const q = http.get({ port: workerData, host: '127.0.0.1', timeout: 1500 });
    q.on('timeout', () => { fs.writeSync(2, 'watchdog: own health endpoint timed out\n'); process.kill(process.pid, 'SIGABRT'); });
    q.on('error', () => {});
    q.on('response', () => {});
  }, 3000);
}
