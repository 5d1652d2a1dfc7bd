package tlsrecord

// Seal appends p as application data in records of at most PlaintextMax bytes,
// and what is pending in front. Before a key has sealed recordsMax records it
// appends a KeyUpdate and goes on with the next key. It appends no data after
// AppendCloseNotify and after an error of Open other than io.EOF.
//
//	Shape:  p may be empty, and does not overlap dst's room.
//	Owner:  nothing of dst and p is kept. What is appended must be sent whole
//	        and in order.
//	Errors: none. If the next keys cannot be made, the next Open says KeysFailed.
//	Cost:   one copy of p; 0 allocs if dst has room for SealMax(len(p)) bytes,
//	        but for the next keys.
//	Source: RFC 8446 sections 5.2, 5.5 and 4.6.3.
func (l *Layer) Seal(dst, p []byte) []byte {
	dst = l.AppendPending(dst)
	for len(p) > 0 && !l.closed {
		if l.out.seq >= l.recordsMax-1 {
			dst = l.appendKeyUpdate(dst)
			continue
		}
		n := min(len(p), PlaintextMax)
		dst = l.out.appendRecord(dst, typeApplicationData, p[:n])
		p = p[n:]
	}
	return dst
}

// AppendPending appends what the layer itself must send, at most PendingMax
// bytes: the answer to a KeyUpdate, or the fatal alert that belongs to the error
// of Open. It appends nothing when called again.
func (l *Layer) AppendPending(dst []byte) []byte {
	if l.answer && !l.closed {
		dst = l.appendKeyUpdate(dst)
	}
	l.answer = false
	if l.alert != 0 {
		dst = l.out.appendRecord(dst, typeAlert, []byte{alertLevelFatal, l.alert})
		l.alert = 0
	}
	return dst
}

// AppendCloseNotify appends what is pending and, unless a fatal alert of either
// side or an earlier close_notify has ended writing, close_notify: at most
// CloseMax bytes. Nothing may be written afterwards (RFC 8446 section 6.1).
func (l *Layer) AppendCloseNotify(dst []byte) []byte {
	dst = l.AppendPending(dst)
	if !l.closed {
		l.closed = true
		dst = l.out.appendRecord(dst, typeAlert, []byte{alertLevelWarning, alertCloseNotify})
	}
	return dst
}

// appendKeyUpdate tells the peer that the next key follows, and goes on to it. It
// asks for no update of the peer's own keys: they are the peer's to count.
func (l *Layer) appendKeyUpdate(dst []byte) []byte {
	dst = l.out.appendRecord(dst, typeHandshake,
		[]byte{messageKeyUpdate, 0, 0, 1, updateNotRequested})
	if l.out.rekey() != nil {
		l.closed = true
		if l.err == nil {
			l.err = KeysFailed // without an alert: there is no key for it
		}
	}
	return dst
}
