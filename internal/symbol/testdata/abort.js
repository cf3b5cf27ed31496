function innermost() { process.abort(); }
function middle(n) { return n > 0 ? middle(n - 1) : innermost(); }
function outermost() { return middle(3); }
for (let i = 0; i < 3; i++) JSON.stringify({ i });
outermost();
