# Serves and calls gRPC through a relay, and writes the messages to a folder: grpc.py DIR BACKEND RELAY
import os, random, sys, sysconfig, time
from concurrent import futures
import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2, any_pb2, api_pb2, type_pb2

folder, backend, relay = sys.argv[1:]
random.seed(7)
F = descriptor_pb2.FieldDescriptorProto
d = descriptor_pb2.FileDescriptorProto(name='trace.proto', package='t', syntax='proto3')
def message(name, *fields):
    m = d.message_type.add(name=name)
    for i, (n, t, repeated) in enumerate(fields):
        f = m.field.add(name=n, number=i + 1, label=F.LABEL_REPEATED if repeated else F.LABEL_OPTIONAL)
        if isinstance(t, str):
            f.type, f.type_name = F.TYPE_MESSAGE, t
        else:
            f.type = t
message('Attr', ('key', F.TYPE_STRING, 0), ('s', F.TYPE_STRING, 0), ('i', F.TYPE_INT64, 0), ('d', F.TYPE_DOUBLE, 0))
message('Span', ('trace', F.TYPE_BYTES, 0), ('span', F.TYPE_BYTES, 0), ('name', F.TYPE_STRING, 0), ('start', F.TYPE_FIXED64, 0),
        ('end', F.TYPE_FIXED64, 0), ('attr', '.t.Attr', 1), ('kind', F.TYPE_INT32, 0), ('ok', F.TYPE_BOOL, 0))
message('Order', ('id', F.TYPE_INT64, 0), ('customer', F.TYPE_STRING, 0), ('cents', F.TYPE_INT32, 0), ('item', '.t.Attr', 1), ('rate', F.TYPE_FLOAT, 0), ('codes', F.TYPE_INT32, 1))
pool = descriptor_pool.DescriptorPool()
pool.Add(d)
def cls(n):
    t = pool.FindMessageTypeByName('t.' + n)
    return message_factory.GetMessageClass(t) if hasattr(message_factory, 'GetMessageClass') else message_factory.MessageFactory(pool).GetPrototype(t)
Attr, Span, Order = cls('Attr'), cls('Span'), cls('Order')

words = [w for n in os.listdir(sysconfig.get_paths()['stdlib']) for w in [n.split('.')[0]]]
def word(): return random.choice(words)
def attr():
    a = Attr(key=word() + '.' + word())
    r = random.randrange(3)
    if r == 0: a.s = ' '.join(word() for _ in range(random.randrange(1, 6)))
    elif r == 1: a.i = random.randrange(-5, 1 << random.randrange(1, 40))
    else: a.d = random.random() * 100
    return a
def made():
    r = random.randrange(4)
    n = random.choice([1, 3, 8, 30, 150])
    if r == 0:
        return Span(trace=random.randbytes(16), span=random.randbytes(8), name='GET /' + word(), start=time.time_ns(), end=time.time_ns() + random.randrange(1 << 30),
                    attr=[attr() for _ in range(n)], kind=random.randrange(4), ok=random.random() < .5)
    if r == 1:
        return Order(id=random.randrange(1 << 40), customer=word() + '@example.org', cents=random.randrange(1 << 20), item=[attr() for _ in range(n)], rate=random.random(),
                     codes=[random.randrange(1 << 14) for _ in range(n)])
    if r == 2:
        s = struct_pb2.Struct()
        s.update({word(): random.choice([word(), random.random(), True, [1, word()], {'a': word()}]) for _ in range(n)})
        return s
    m = descriptor_pb2.FileDescriptorProto()
    src = random.choice([descriptor_pb2, struct_pb2, any_pb2, api_pb2, type_pb2]).DESCRIPTOR
    src.CopyToProto(m)
    if m.message_type and random.random() < .8:
        return random.choice(m.message_type)
    return m

echo = grpc.unary_unary_rpc_method_handler(lambda q, c: q)
many = grpc.unary_stream_rpc_method_handler(lambda q, c: (q for _ in range(3)))
server = grpc.server(futures.ThreadPoolExecutor(2))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler('t.Shop', {'Say': echo, 'List': many}),))
if not server.add_insecure_port('127.0.0.1:' + backend):
    sys.exit('cannot listen')
server.start()
k = 0
for conn in range(40):
    with grpc.insecure_channel('127.0.0.1:' + relay, options=[('grpc.use_local_subchannel_pool', 1)]) as ch:
        for _ in range(10):
            b = made().SerializeToString()
            with open(os.path.join(folder, 'm%d' % k), 'wb') as f:
                f.write(b)
            k += 1
            ch.unary_unary('/t.Shop/Say')(b, timeout=20)
            if random.random() < .3:
                list(ch.unary_stream('/t.Shop/List')(b, timeout=20))
server.stop(0)
