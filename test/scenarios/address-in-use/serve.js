require('http').createServer((q, a) => a.end()).listen(Number(process.argv[2]), '127.0.0.1');
