const net = require('net');
const kept = [];
net.createServer(s => kept.push(s)).listen(6400, '127.0.0.1', 511, next);
function next() { kept.push(net.connect(6400, '127.0.0.1', next)); }
