function render(cart) { return cart.items.map(i => i.name); }
console.log(render({ items: [{ name: 'anvil' }] }));
render({});
