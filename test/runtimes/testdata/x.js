const fs = require('fs'), net = require('net'), cp = require('child_process'), { Worker } = require('worker_threads');
const [op, ...arg] = process.argv.slice(2);
const kept = [];
switch (op) {
case 'open': fs.readFileSync(arg[0]); break;
case 'fill': { const f = fs.openSync(arg[0], 'w'); for (;;) fs.writeSync(f, 'x'.repeat(65536)); }
case 'many': for (;;) kept.push(fs.openSync('/dev/null'));
case 'mkdir': fs.mkdirSync(arg[0]); break;
case 'chmod': fs.chmodSync(arg[0], 0o777); break;
case 'connect': case 'dial': net.connect(+arg[1], arg[0]); break;
case 'talk': { const s = net.connect(+arg[1], arg[0], () => s.write('hello\n')); s.on('data', () => {}); break; }
case 'listen': net.createServer().listen(+arg[1], arg[0]); break;
case 'exec': cp.spawn(arg[0], arg.slice(1)); break;
case 'big': cp.spawn('/bin/true', ['x'.repeat(4000000)]); break;
case 'spawn': for (let i = 0; i < 100; i++) new Worker('setTimeout(() => {}, 3000)', { eval: true }); break;
case 'fork': for (let i = 0; i < 100; i++) cp.spawn('sleep', ['3']); break;
case 'memory': for (;;) kept.push(Buffer.alloc(256 << 20));
case 'pipe': for (;;) fs.writeSync(1, 'x'.repeat(65536));
}
