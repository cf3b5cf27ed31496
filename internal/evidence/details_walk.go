package evidence

// Each walk visits its fields in the order of the struct; new ones go to the end.

// Kind is KindFork.
func (*Fork) Kind() Kind { return KindFork }

func (d *Fork) walk(c *codec) {
	c.i32(&d.Child)
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindExec.
func (*Exec) Kind() Kind { return KindExec }

func (d *Exec) walk(c *codec) {
	c.str(&d.Path)
	c.strs(&d.Args)
	c.bytes((*[]byte)(&d.Unknown))
	c.i32(&d.Parent)
	c.flag(&d.Outside)
}

// Kind is KindExecFailed.
func (*ExecFailed) Kind() Kind { return KindExecFailed }

func (d *ExecFailed) walk(c *codec) {
	c.str(&d.Path)
	c.i32((*int32)(&d.Errno))
	c.i64(&d.Count)
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindExit.
func (*Exit) Kind() Kind { return KindExit }

func (d *Exit) walk(c *codec) {
	c.i32(&d.ExitCode)
	c.i32((*int32)(&d.Signal))
	c.flag(&d.CoreDumped)
	c.i32(&d.Parent)
	c.i32(&d.EnderTID)
	c.i64(&d.StartNanos)
	c.i64(&d.UserNanos)
	c.i64(&d.SystemNanos)
	c.i64(&d.MaxRSSBytes)
	c.i64(&d.MinorFaults)
	c.i64(&d.MajorFaults)
	optional(c, &d.FDs, func(c *codec, t *FDTable) { t.walk(c) })
	c.i64(&d.SelectCalls)
	c.i64(&d.RefusedFDs)
	c.i32(&d.HighestEver)
	c.flag(&d.OutOfKernel)
	c.flag(&d.GroupExiting)
	c.bytes((*[]byte)(&d.Unknown))
	list(c, &d.Stdio, func(c *codec, s *StdioTurned) { s.walk(c) })
	optional(c, &d.AtEnd, func(c *codec, e *AtEnd) { e.walk(c) })
}

// Kind is KindSignalSent.
func (*SignalSent) Kind() Kind { return KindSignalSent }

func (d *SignalSent) walk(c *codec) {
	c.i32((*int32)(&d.Signal))
	c.i32(&d.Code)
	c.i32(&d.Sender)
	c.str(&d.SenderComm)
	c.i32(&d.SenderParent)
	c.str(&d.SenderCommand)
	c.flag(&d.SenderInTree)
	c.flag(&d.Ignored)
	c.i64(&d.Count)
	c.bytes((*[]byte)(&d.Unknown))
	c.str(&d.SenderContainer)
}

// Kind is KindSignalFatal.
func (*SignalFatal) Kind() Kind { return KindSignalFatal }

func (d *SignalFatal) walk(c *codec) {
	d.walkFault(c)
	d.walkMapped(c)
}

func (d *SignalFatal) walkFault(c *codec) {
	c.i32((*int32)(&d.Signal))
	c.i32(&d.Code)
	c.u64(&d.Address)
	c.i32(&d.Sender)
	c.flag(&d.Self)
	c.str(&d.Syscall)
	c.u64(&d.SP)
	c.u64(&d.PC)
	c.str(&d.Fault)
	c.str(&d.Where)
	c.u64(&d.StackLo)
	c.u64(&d.StackHi)
	c.i64(&d.StackRL)
	walkFrames(c, &d.Trace)
	c.str(&d.TraceBy)
	optional(c, &d.Context, func(c *codec, x *Context) { x.walk(c) })
	c.bytes((*[]byte)(&d.Unknown))
}

func (d *SignalFatal) walkMapped(c *codec) {
	optional(c, &d.Mapped, func(c *codec, m *MappedFile) { m.walk(c) })
}

// Kind is KindSignalCaught.
func (*SignalCaught) Kind() Kind { return KindSignalCaught }

func (d *SignalCaught) walk(c *codec) {
	d.walkFault(c)
	c.i64(&d.Count)
	d.walkMapped(c)
}

// Kind is KindOOM.
func (*OOM) Kind() Kind { return KindOOM }

func (d *OOM) walk(c *codec) {
	c.flag(&d.Global)
	c.flag(&d.GlobalKnown)
	c.i64(&d.RSSBytes)
	c.bytes((*[]byte)(&d.Unknown))
	c.str(&d.Cgroup)
	c.i64(&d.Used)
	c.i64(&d.Max)
	c.i32(&d.Above)
}

// Kind is KindFDRefused.
func (*FDRefused) Kind() Kind { return KindFDRefused }

func (d *FDRefused) walk(c *codec) {
	c.str(&d.Call)
	c.i32((*int32)(&d.Errno))
	c.i64(&d.Count)
	c.str(&d.Path)
	c.str(&d.Peer)
	c.i64(&d.Open)
	c.i64(&d.SoftLimit)
	c.flag(&d.InMessage)
	walkFrames(c, &d.Trace)
	c.str(&d.TraceBy)
	optional(c, &d.Context, func(c *codec, x *Context) { x.walk(c) })
	c.bytes((*[]byte)(&d.Unknown))
	optional(c, &d.FDs, func(c *codec, t *FDTable) { t.walk(c) })
}

// Kind is KindFDGrown.
func (*FDGrown) Kind() Kind { return KindFDGrown }

func (d *FDGrown) walk(c *codec) {
	c.str(&d.Call)
	c.i32(&d.FD)
	c.str((*string)(&d.FDKind))
	c.str(&d.State)
	c.str(&d.Peer)
	c.str(&d.Path)
	walkFrames(c, &d.Trace)
	c.str(&d.TraceBy)
	optional(c, &d.Context, func(c *codec, x *Context) { x.walk(c) })
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindInotifyRefused.
func (*InotifyRefused) Kind() Kind { return KindInotifyRefused }

func (d *InotifyRefused) walk(c *codec) {
	c.str(&d.Call)
	c.i32((*int32)(&d.Errno))
	c.i64(&d.Count)
	c.str(&d.Path)
	c.i64(&d.MaxInstances)
	c.i64(&d.MaxWatches)
	c.i64(&d.Open)
	c.i64(&d.SoftLimit)
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindAddressRefused.
func (*AddressRefused) Kind() Kind { return KindAddressRefused }

func (d *AddressRefused) walk(c *codec) {
	c.str(&d.Call)
	c.i32((*int32)(&d.Errno))
	c.str(&d.Address)
	c.str((*string)(&d.Protocol))
	c.i64(&d.Count)
	c.i32(&d.Holder)
	c.str(&d.HolderCommand)
	c.str(&d.PortRange)
	c.i64(&d.PortsUsed)
	list(c, &d.ByState, func(c *codec, s *StateCount) { s.walk(c) })
	list(c, &d.ByPeer, func(c *codec, s *StateCount) { s.walk(c) })
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindThreadFailures.
func (*ThreadFailures) Kind() Kind { return KindThreadFailures }

func (d *ThreadFailures) walk(c *codec) {
	c.flag(&d.Ender)
	list(c, &d.Calls, func(c *codec, s *FailedCall) { s.walk(c) })
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindSelectBeyond.
func (*SelectBeyond) Kind() Kind { return KindSelectBeyond }

func (d *SelectBeyond) walk(c *codec) {
	c.str(&d.Call)
	c.i32(&d.NFDs)
	for i := range d.Sets {
		c.u64(&d.Sets[i])
	}
	for i := range d.Where {
		c.str(&d.Where[i])
	}
	c.i64(&d.Distance)
	for i := range d.ChunkSize {
		c.i64(&d.ChunkSize[i])
	}
	c.i64(&d.Highest)
	c.i32(&d.BitFD)
	c.str(&d.Proof)
	c.i64(&d.Count)
	walkFrames(c, &d.Trace)
	c.str(&d.TraceBy)
	optional(c, &d.Context, func(c *codec, x *Context) { x.walk(c) })
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindStdio.
func (*Stdio) Kind() Kind { return KindStdio }

func (d *Stdio) walk(c *codec) {
	c.i32(&d.FD)
	c.str(&d.Action)
	c.str(&d.Call)
	c.str((*string)(&d.Was))
	c.str((*string)(&d.Is))
	c.str(&d.Path)
	c.str(&d.Peer)
	c.i32(&d.From)
	walkFrames(c, &d.Trace)
	c.str(&d.TraceBy)
	optional(c, &d.Context, func(c *codec, x *Context) { x.walk(c) })
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindWriteShort.
func (*WriteShort) Kind() Kind { return KindWriteShort }

func (d *WriteShort) walk(c *codec) {
	c.i32(&d.FD)
	c.str((*string)(&d.FDKind))
	c.i64(&d.Asked)
	c.i64(&d.Written)
	c.i64(&d.Count)
	c.i64(&d.Lost)
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindWriteRefused.
func (*WriteRefused) Kind() Kind { return KindWriteRefused }

func (d *WriteRefused) walk(c *codec) {
	c.i32(&d.FD)
	c.str((*string)(&d.FDKind))
	c.i32((*int32)(&d.Errno))
	c.i64(&d.Asked)
	c.i64(&d.Count)
	c.i64(&d.Lost)
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindProcess.
func (*Process) Kind() Kind { return KindProcess }

func (d *Process) walk(c *codec) {
	c.i64(&d.Open)
	c.i64(&d.Highest)
	c.i64(&d.SoftLimit)
	c.i64(&d.HardLimit)
	c.i64(&d.RSSBytes)
	c.i64(&d.Threads)
	c.i64(&d.SelectCalls)
	list(c, &d.Blocked, func(c *codec, b *BlockedWrite) { c.i32(&b.TID); c.i32(&b.FD); c.i64(&b.Nanos) })
	list(c, &d.Output, func(c *codec, p *PipeFill) { c.i32(&p.FD); c.u64(&p.Inode); c.i64(&p.Used); c.i64(&p.Slots) })
	list(c, &d.Stdio, func(c *codec, s *StdioIs) { c.i32(&s.FD); c.str((*string)(&s.FDKind)); c.str(&s.Path) })
	optional(c, &d.Top, func(c *codec, g *FDGroup) { g.walk(c) })
	c.bytes((*[]byte)(&d.Unknown))
	c.i32(&d.Parent)
	c.flag(&d.Outside)
	c.i64(&d.StartNanos)
	c.i64(&d.Mappings)
	list(c, &d.Turned, func(c *codec, s *StdioTurned) { s.walk(c) })
}

// Kind is KindGarbled.
func (*Garbled) Kind() Kind { return KindGarbled }

func (d *Garbled) walk(c *codec) {
	c.str(&d.Stream)
	c.i64(&d.Offset)
	c.i64(&d.Length)
	c.str(&d.LooksLike)
	c.str(&d.Preview)
	c.bytes((*[]byte)(&d.Unknown))
	optional(c, &d.Writer, func(c *codec, w *Writer) { w.walk(c) })
	c.i64(&d.Others)
	optional(c, &d.Context, func(c *codec, x *Context) { x.walk(c) })
	c.str(&d.Unseen)
	c.u64(&d.From)
	c.str(&d.By)
}

// Kind is KindOutputStalled.
func (*OutputStalled) Kind() Kind { return KindOutputStalled }

func (d *OutputStalled) walk(c *codec) {
	c.str(&d.Stream)
	c.i64(&d.Nanos)
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindOutputHeld.
func (*OutputHeld) Kind() Kind { return KindOutputHeld }

func (d *OutputHeld) walk(c *codec) {
	list(c, &d.Holders, func(c *codec, h *Holder) { c.i32(&h.PID); c.str(&h.Command) })
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindHeadroom.
func (*Headroom) Kind() Kind { return KindHeadroom }

func (d *Headroom) walk(c *codec) {
	c.str(&d.Limit)
	c.i64(&d.Open)
	c.i64(&d.Max)
	c.f64(&d.PerSecond)
	c.f64(&d.Seconds)
	c.f64(&d.SecondsLow)
	c.f64(&d.SecondsHigh)
	optional(c, &d.Group, func(c *codec, g *FDGroup) { g.walk(c) })
	c.bytes((*[]byte)(&d.Unknown))
	list(c, &d.Most, func(c *codec, s *Share) { c.str(&s.Name); c.i32(&s.PID); c.i64(&s.Processes); c.i64(&s.Value) })
}

// Kind is KindLost.
func (*Lost) Kind() Kind { return KindLost }

func (d *Lost) walk(c *codec) {
	c.str(&d.By)
	c.i64(&d.Count)
	c.str(&d.Why)
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindRunStarted.
func (*RunStarted) Kind() Kind { return KindRunStarted }

func (d *RunStarted) walk(c *codec) {
	c.strs(&d.Command)
	c.str(&d.Node)
	c.str(&d.Kernel)
	c.str(&d.Arch)
	c.str(&d.Descry)
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindRunEnded.
func (*RunEnded) Kind() Kind { return KindRunEnded }

func (d *RunEnded) walk(c *codec) {
	c.i32(&d.ExitCode)
	c.i32((*int32)(&d.Signal))
	c.flag(&d.CoreDumped)
	c.flag(&d.Interrupted)
	c.i64(&d.StartNanos)
	c.i64(&d.UserNanos)
	c.i64(&d.SystemNanos)
	c.i64(&d.MaxRSSBytes)
	list(c, &d.Counters, func(c *codec, s *StateCount) { s.walk(c) })
	list(c, &d.Watched, func(c *codec, w *Watched) { w.walk(c) })
	c.bytes((*[]byte)(&d.Unknown))
}

// optional visits what may be nil.
func optional[T any](c *codec, v **T, each func(*codec, *T)) {
	has := *v != nil
	c.flag(&has)
	if !has {
		return
	}
	if c.decode && *v == nil {
		*v = new(T)
	}
	each(c, *v)
}
