const assert = require('assert');
function invariant(ok, what) { if (!ok) { process._rawDebug('invariant broken: ' + what); process.abort(); } }
invariant(true, 'queue drained');
invariant(false, 'no writer holds the lease');
