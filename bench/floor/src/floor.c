// The floor: the least work that a relay of Hybrid Connections can do, to be
// measured beside a gateway. One thread, one edge-triggered epoll set, no
// tokens, no limits, no HTTP relaying, no TLS. It must never face a network.
//
//	floor [WORD] [--http ADDR:PORT] [--data-dir DIR] [anything else]
//
// Per relayed read it does what the gateway does: one read of at most
// READ_SIZE, one pass that parses frame headers, unmasks and rewrites in place,
// one write. What the receiver does not take is kept in one block, and the other
// end is not read until it is gone. Ends of stream and Closes pass on.
//
// It does less than a gateway in this: frames over 64 KiB pass whole, Pings pass
// on and are not answered, text and fragments are not checked, an end that
// neither reads nor goes is kept for ever.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	READ_SIZE = 256 << 10, // one read, and one turn of a connection: the gateway's
	HEADROOM = 16,         // output may outgrow input by a header that was held
	HEADER_MAX = 14,       // of a masked frame (RFC 6455 5.2)
	HEAD_MAX = 8 << 10,    // of a request
	BACKLOG = 4096,
	EVENTS = 256,       // taken from the kernel at a time
	LISTENERS_MAX = 64, // control channels at a time
	ENTITY_MAX = 64,    // of a name, with its end
	QUEUE_MAX = 8 << 20, // towards a control channel that does not read
	ACCEPT_SIZE = 28,   // of Sec-WebSocket-Accept
};

// A block is bytes that wait: of a HEAD connection the part of its head that
// has come; of a WAITING one the answer to its key, then what followed the head;
// of all others what the kernel has not taken yet.
struct block {
	uint32_t at, len;
	uint8_t bytes[];
};

enum state { HEAD, CONTROL, WAITING, LEG, FLUSHING, GONE };

enum {
	READABLE = 1, // there may be something to read
	HUNG = 2,     // and then the end: a short read is not the last
	ENDED = 4,    // the end of its stream was read
	CLOSED = 8,   // its Close was read
};

struct conn {
	struct conn *mate;  // of a LEG; of a GONE one the next that is to be freed
	struct block *block;
	uint64_t remain;    // payload of the incoming frame still to come
	uint32_t mask;      // for the next byte, lowest byte first
	uint32_t serial;    // tells a WAITING sender from earlier ones
	uint32_t born;      // batch of events in which it was accepted
	int fd;
	uint8_t state, flags, held, head[HEADER_MAX];
};

static struct {
	struct conn *conn;
	char entity[ENTITY_MAX];
} listeners[LISTENERS_MAX];

static uint8_t store[HEADROOM + READ_SIZE + HEAD_MAX];
static uint8_t *const buf = store + HEADROOM;
static struct conn **conns; // by descriptor
static struct conn *graves;
static int epoll, door, door_shut;
static uint32_t serials, batch;
static size_t conns_max;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *need(void *p)
{
	if (!p)
		die("memory");
	return p;
}

// ---- SHA-1 and base64, for the answer to a handshake (RFC 6455 4.2.2) ----

static uint32_t rotate(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void sha1_chunk(uint32_t h[5], const uint8_t *p)
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
	for (int i = 0; i < 16; i++) {
		memcpy(&w[i], p + 4 * i, 4);
		w[i] = ntohl(w[i]);
	}
	for (int i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (int i = 0; i < 80; i++) {
		uint32_t f = i < 20   ? (b & c) | (~b & d)
			     : i < 40 ? b ^ c ^ d
			     : i < 60 ? (b & c) | (b & d) | (c & d)
				      : b ^ c ^ d;
		static const uint32_t k[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
		uint32_t t = rotate(a, 5) + f + e + k[i / 20] + w[i];
		e = d, d = c, c = rotate(b, 30), b = a, a = t;
	}
	h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

// answer writes the Sec-WebSocket-Accept for a key of 24 characters.
static void answer(char out[ACCEPT_SIZE], const char *key)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	uint8_t m[128] = {0}, sum[21] = {0};
	memcpy(m, key, 24);
	memcpy(m + 24, guid, 36);
	m[60] = 0x80;
	m[126] = 60 * 8 >> 8, m[127] = (60 * 8) & 0xff;
	sha1_chunk(h, m);
	sha1_chunk(h, m + 64);
	for (int i = 0; i < 20; i++)
		sum[i] = h[i / 4] >> (24 - 8 * (i % 4));
	for (int i = 0; i < 7; i++) {
		uint32_t v = sum[3 * i] << 16 | sum[3 * i + 1] << 8 | sum[3 * i + 2];
		for (int j = 0; j < 4; j++)
			out[4 * i + j] = digits[v >> (18 - 6 * j) & 63];
	}
	out[ACCEPT_SIZE - 1] = '=';
}

// ---- connections ----

static void add(int fd, struct conn *c)
{
	if ((size_t)fd >= conns_max) {
		size_t more = conns_max ? conns_max * 2 : 1024;
		while ((size_t)fd >= more)
			more *= 2;
		conns = need(realloc(conns, more * sizeof *conns));
		memset(conns + conns_max, 0, (more - conns_max) * sizeof *conns);
		conns_max = more;
	}
	conns[fd] = c;
}

static void open_door(void)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = door};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, door, &ev))
		die("epoll_ctl");
	door_shut = 0;
}

// drop closes c. Its memory lives until the events at hand are handled.
static void drop(struct conn *c)
{
	if (c->state == GONE)
		return;
	for (int i = 0; c->state == CONTROL && i < LISTENERS_MAX; i++)
		if (listeners[i].conn == c)
			listeners[i].conn = NULL;
	close(c->fd);
	free(c->block);
	conns[c->fd] = NULL;
	c->state = GONE;
	c->block = NULL;
	c->mate = graves;
	graves = c;
	if (door_shut)
		open_door();
}

static void bury(void)
{
	while (graves) {
		struct conn *next = graves->mate;
		free(graves);
		graves = next;
	}
}

// lose drops a leg that broke; its mate first gets what waits for it.
static void lose(struct conn *c)
{
	struct conn *m = c->state == LEG ? c->mate : NULL;
	drop(c);
	if (!m)
		return;
	if (m->block)
		m->state = FLUSHING;
	else
		drop(m);
}

// put writes n bytes to c and keeps what the kernel does not take.
static void put(struct conn *c, const void *p, size_t n)
{
	struct block *b = c->block;
	if (!b) {
		ssize_t w = write(c->fd, p, n);
		if (w < 0 && errno != EAGAIN) {
			lose(c);
			return;
		}
		if (w < 0)
			w = 0;
		if ((size_t)w == n)
			return;
		b = c->block = need(malloc(sizeof *b + n - w));
		b->at = 0;
		b->len = n - w;
		memcpy(b->bytes, (const uint8_t *)p + w, n - w);
		return;
	}
	if (b->len + n > QUEUE_MAX) {
		lose(c);
		return;
	}
	b = c->block = need(realloc(b, sizeof *b + b->len + n));
	memcpy(b->bytes + b->len, p, n);
	b->len += n;
}

// ---- frames ----

// Blocks of the widest vectors that the machine has; the compiler splits them
// where it has narrower ones.
typedef uint8_t wide __attribute__((vector_size(32)));
typedef uint32_t words __attribute__((vector_size(32)));

// unmask moves n bytes to dst, which lies before src, and returns the mask
// turned to the byte behind them.
static uint32_t unmask(uint8_t *dst, const uint8_t *src, size_t n, uint32_t mask)
{
	const words m = {mask, mask, mask, mask, mask, mask, mask, mask};
	size_t i = 0;
	for (; i + 4 * sizeof(wide) <= n; i += 4 * sizeof(wide)) {
		wide v[4];
		memcpy(v, src + i, sizeof v);
		for (int j = 0; j < 4; j++)
			v[j] ^= (wide)m;
		memcpy(dst + i, v, sizeof v);
	}
	for (; i + 8 <= n; i += 8) {
		uint64_t v, m8 = (uint64_t)mask << 32 | mask;
		memcpy(&v, src + i, 8);
		v ^= m8;
		memcpy(dst + i, &v, 8);
	}
	for (; i < n; i++)
		dst[i] = src[i] ^ (uint8_t)(mask >> 8 * (i & 3));
	int turn = 8 * (n & 3);
	return turn ? mask >> turn | mask << (32 - turn) : mask;
}

// rewrite turns the masked frames in src..end into unmasked ones that begin at
// dst, HEADROOM bytes before src. It returns their end, or NULL when a frame is
// not masked. A header that is cut is held until the rest of it has come.
static uint8_t *rewrite(struct conn *c, uint8_t *dst, const uint8_t *src, const uint8_t *end)
{
	while (src < end) {
		size_t have = end - src;
		if (c->remain) {
			size_t n = have < c->remain ? have : c->remain;
			c->mask = unmask(dst, src, n, c->mask);
			c->remain -= n;
			src += n, dst += n;
			continue;
		}
		const uint8_t *h = src;
		if (c->held) {
			size_t room = HEADER_MAX - c->held, n = have < room ? have : room;
			memcpy(c->head + c->held, src, n);
			h = c->head;
			have = c->held + n;
		}
		size_t size = 2;
		if (have >= 2) {
			if (!(h[1] & 0x80))
				return NULL;
			size = (h[1] & 0x7f) == 127 ? 14 : (h[1] & 0x7f) == 126 ? 8 : 6;
		}
		if (have < size) {
			memmove(c->head, h, have);
			c->held = have;
			return dst;
		}
		src += size - c->held;
		c->held = 0;
		memcpy(&c->mask, h + size - 4, 4);
		c->remain = h[1] & 0x7f;
		if (size > 6) {
			c->remain = 0;
			for (size_t i = 2; i < size - 4; i++)
				c->remain = c->remain << 8 | h[i];
		}
		if ((h[0] & 0x0f) == 8)
			c->flags |= CLOSED;
		uint8_t length = h[1] & 0x7f;
		dst[0] = h[0];
		memmove(dst + 2, h + 2, size - 6);
		dst[1] = length;
		dst += size - 4;
	}
	return dst;
}

static int over(const struct conn *c)
{
	return c->flags & ENDED || (c->flags & CLOSED && !c->remain && !c->held);
}

// settle ends a relayed connection when both directions are over and
// delivered.
static void settle(struct conn *a)
{
	struct conn *b = a->mate;
	if (a->state == LEG && !a->block && !b->block && over(a) && over(b)) {
		a->state = b->state = FLUSHING;
		drop(a);
		drop(b);
	}
}

// relay hands on the n bytes of a at p, which lies in the buffer.
static void relay(struct conn *a, uint8_t *p, size_t n)
{
	uint8_t *out = p - HEADROOM, *end = rewrite(a, out, p, p + n);
	if (!end) {
		lose(a);
		return;
	}
	if (end > out)
		put(a->mate, out, end - out);
	if (a->flags & CLOSED)
		settle(a);
}

// pump reads a until it is empty, its mate is full or its turn is over.
static void pump(struct conn *a)
{
	while (a->state == LEG && a->flags & READABLE && !a->mate->block) {
		ssize_t n = read(a->fd, buf, READ_SIZE);
		if (n < 0) {
			a->flags &= ~READABLE;
			if (errno != EAGAIN)
				lose(a);
			return;
		}
		if (n == 0) {
			a->flags = (a->flags & ~READABLE) | ENDED;
			shutdown(a->mate->fd, SHUT_WR);
			settle(a);
			return;
		}
		if (n < READ_SIZE && !(a->flags & HUNG))
			a->flags &= ~READABLE;
		relay(a, buf, n);
		if (n == READ_SIZE && a->state == LEG && !a->mate->block) {
			// Others first; the kernel reports it again if it is ready.
			struct epoll_event ev = {.data.fd = a->fd,
				.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
			a->flags &= ~READABLE;
			epoll_ctl(epoll, EPOLL_CTL_MOD, a->fd, &ev);
			return;
		}
	}
}

// flush writes what waits for c and then goes on with its mate.
static void flush(struct conn *c)
{
	struct block *b = c->block;
	ssize_t w = write(c->fd, b->bytes + b->at, b->len - b->at);
	if (w < 0) {
		if (errno != EAGAIN)
			lose(c);
		return;
	}
	if ((b->at += w) < b->len)
		return;
	free(b);
	c->block = NULL;
	if (c->state == FLUSHING) {
		drop(c);
	} else if (c->state == LEG) {
		struct conn *m = c->mate;
		settle(c);
		pump(m);
	}
}

// ---- handshakes ----

// A request is what is used of a head. The texts lie in the buffer.
struct request {
	const char *target, *query, *host, *key;
	int target_len, query_len, host_len, key_len;
};

static const char *trim(const char *p, const char *end, int *len)
{
	while (p < end && *p == ' ')
		p++;
	*len = end - p;
	return p;
}

// parse reads the head p..end and says whether it is a request.
static int parse(struct request *r, const char *p, const char *end)
{
	memset(r, 0, sizeof *r);
	const char *line = memchr(p, '\r', end - p);
	if (!line || line - p < 14 || memcmp(p, "GET ", 4) || memcmp(line - 9, " HTTP/1.1", 9))
		return 0;
	r->target = p + 4;
	const char *target_end = line - 9, *mark = memchr(r->target, '?', target_end - r->target);
	r->target_len = (mark ? mark : target_end) - r->target;
	if (mark)
		r->query = mark + 1, r->query_len = target_end - r->query;
	for (p = line + 2; p < end; p = line + 2) {
		line = memchr(p, '\r', end - p);
		if (!line)
			line = end;
		if (line - p > 5 && !strncasecmp(p, "Host:", 5))
			r->host = trim(p + 5, line, &r->host_len);
		else if (line - p > 18 && !strncasecmp(p, "Sec-WebSocket-Key:", 18))
			r->key = trim(p + 18, line, &r->key_len);
	}
	return 1;
}

// field finds the value of a query parameter; NULL when there is none.
static const char *field(const struct request *r, const char *name, int *len)
{
	size_t n = strlen(name);
	const char *p = r->query, *end = p + r->query_len;
	while (p && p < end) {
		const char *and = memchr(p, '&', end - p);
		if (!and)
			and = end;
		if ((size_t)(and - p) > n && !memcmp(p, name, n) && p[n] == '=') {
			*len = and - p - n - 1;
			return p + n + 1;
		}
		p = and + 1;
	}
	return NULL;
}

// say answers without an upgrade and ends the connection.
static void say(struct conn *c, const char *status)
{
	char out[160];
	int n = snprintf(out, sizeof out,
		"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);
	put(c, out, n);
	drop(c);
}

static void say_upgraded(struct conn *c, const char accept[ACCEPT_SIZE])
{
	char out[160];
	int n = snprintf(out, sizeof out,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Accept: %.28s\r\n\r\n", accept);
	put(c, out, n);
}

static void listen_for(struct conn *c, const struct request *r, int name_len, const char *accept)
{
	for (int i = 0; i < LISTENERS_MAX; i++) {
		if (listeners[i].conn)
			continue;
		listeners[i].conn = c;
		snprintf(listeners[i].entity, ENTITY_MAX, "%.*s", name_len, r->target + 5);
		c->state = CONTROL;
		say_upgraded(c, accept);
		return;
	}
	say(c, "403 Forbidden");
}

// announce sends the accept message for sender s to the control channel l.
static void announce(struct conn *l, const struct conn *s, const struct request *r)
{
	char m[4 + 2 * HEAD_MAX], *body = m + 4;
	int n = sprintf(body, "{\"accept\":{\"address\":\"ws://%.*s%.*s?", r->host_len, r->host,
		r->target_len, r->target);
	const char *p = r->query, *end = p + r->query_len;
	while (p && p < end) {
		const char *and = memchr(p, '&', end - p);
		if (!and)
			and = end;
		if (strncmp(p, "sb-hc-", 6))
			n += sprintf(body + n, "%.*s&", (int)(and - p), p);
		p = and + 1;
	}
	n += sprintf(body + n, "sb-hc-action=accept&sb-hc-rendezvous=%d-%u\",\"id\":\"%d-%u\"}}",
		s->fd, s->serial, s->fd, s->serial);
	char *frame = body - 2;
	if (n >= 126) {
		frame = m;
		frame[2] = n >> 8, frame[3] = n & 0xff;
	}
	frame[0] = (char)0x81;
	frame[1] = n >= 126 ? 126 : n;
	put(l, frame, body + n - frame);
}

// await holds sender c, whose head was followed by n bytes at rest.
static void await(struct conn *c, const struct request *r, int name_len, const char *accept,
	const uint8_t *rest, size_t n)
{
	struct conn *l = NULL;
	for (int i = LISTENERS_MAX - 1; i >= 0 && !l; i--)
		if (listeners[i].conn && strlen(listeners[i].entity) == (size_t)name_len &&
			!memcmp(listeners[i].entity, r->target + 5, name_len))
			l = listeners[i].conn;
	if (!l) {
		say(c, "404 Not Found");
		return;
	}
	struct block *b = c->block = need(malloc(sizeof *b + ACCEPT_SIZE + n));
	b->at = 0;
	b->len = ACCEPT_SIZE + n;
	memcpy(b->bytes, accept, ACCEPT_SIZE);
	memcpy(b->bytes + ACCEPT_SIZE, rest, n);
	c->state = WAITING;
	c->serial = ++serials;
	announce(l, c, r);
	if (l->state == GONE)
		say(c, "502 Bad Gateway");
}

// join relays between l, a rendezvous connection, and the sender that it names.
static void join(struct conn *l, const struct request *r, const char *accept, uint8_t *rest,
	size_t n)
{
	int len;
	unsigned fd, serial;
	const char *id = field(r, "sb-hc-rendezvous", &len);
	struct conn *s = NULL;
	if (id && sscanf(id, "%u-%u", &fd, &serial) == 2 && fd < conns_max)
		s = conns[fd];
	if (!s || s->state != WAITING || s->serial != serial) {
		say(l, "403 Forbidden");
		return;
	}
	struct block *b = s->block;
	s->block = NULL;
	s->state = l->state = LEG;
	s->mate = l, l->mate = s;
	say_upgraded(l, accept);
	if (s->state == LEG)
		say_upgraded(s, (const char *)b->bytes);
	if (n && l->state == LEG)
		relay(l, rest, n);
	if (b->len > ACCEPT_SIZE && s->state == LEG) {
		memcpy(buf, b->bytes + ACCEPT_SIZE, b->len - ACCEPT_SIZE);
		relay(s, buf, b->len - ACCEPT_SIZE);
	}
	free(b);
	pump(l);
	pump(s);
}

static void serve(struct conn *c, const struct request *r, uint8_t *rest, size_t n)
{
	if (r->target_len == 7 && !memcmp(r->target, "/readyz", 7)) {
		say(c, "200 OK");
		return;
	}
	int name_len = r->target_len - 5, len = 0;
	// What goes into the accept message as it is must not end its strings.
	if (name_len <= 0 || name_len >= ENTITY_MAX || memcmp(r->target, "/$hc/", 5) ||
		r->key_len != 24 || !r->host || memchr(r->target, '"', r->target_len) ||
		memchr(r->host, '"', r->host_len) || memchr(r->host, '\\', r->host_len) ||
		memchr(r->target, '\\', r->target_len) ||
		(r->query && (memchr(r->query, '"', r->query_len) ||
				memchr(r->query, '\\', r->query_len)))) {
		say(c, "400 Bad Request");
		return;
	}
	char accept[ACCEPT_SIZE];
	answer(accept, r->key);
	const char *action = field(r, "sb-hc-action", &len);
	if (action && len == 6 && !memcmp(action, "listen", 6))
		listen_for(c, r, name_len, accept);
	else if (action && len == 6 && !memcmp(action, "accept", 6))
		join(c, r, accept, rest, n);
	else
		await(c, r, name_len, accept, rest, n);
}

// read_head waits for the end of a request's head.
static void read_head(struct conn *c)
{
	size_t before = 0;
	if (c->block) {
		before = c->block->len;
		memcpy(buf, c->block->bytes, before);
		free(c->block);
		c->block = NULL;
	}
	ssize_t n = read(c->fd, buf + before, READ_SIZE);
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		drop(c);
		return;
	}
	if (n < 0 || (n < READ_SIZE && !(c->flags & HUNG)))
		c->flags &= ~READABLE;
	if (n < 0)
		n = 0;
	size_t all = before + n;
	uint8_t *end = memmem(buf, all, "\r\n\r\n", 4);
	if ((end ? (size_t)(end - buf) : all) > HEAD_MAX) {
		drop(c);
		return;
	}
	if (end) {
		struct request r;
		end += 4;
		if (parse(&r, (char *)buf, (char *)end - 2))
			serve(c, &r, end, buf + all - end);
		else
			say(c, "400 Bad Request");
		return;
	}
	if (!all)
		return;
	struct block *b = c->block = need(malloc(sizeof *b + all));
	b->at = 0;
	b->len = all;
	memcpy(b->bytes, buf, all);
}

// read_control hears a listener: only its Close matters.
static void read_control(struct conn *c)
{
	ssize_t n;
	while ((n = read(c->fd, buf, READ_SIZE)) > 0)
		if (!rewrite(c, store, buf, buf + n) || over(c))
			break;
	if (n < 0 && errno == EAGAIN)
		return;
	if (over(c))
		put(c, "\x88\x02\x03\xe8", 4);
	drop(c);
}

// ---- the loop ----

static void let_in(void)
{
	for (int i = 0; i < EVENTS; i++) {
		int one = 1, fd = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			// Without descriptors the door stays shut until one is free.
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
				epoll_ctl(epoll, EPOLL_CTL_DEL, door, NULL);
				door_shut = 1;
			}
			return;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		struct conn *c = need(calloc(1, sizeof *c));
		c->fd = fd;
		c->born = batch;
		add(fd, c);
		struct epoll_event ev = {.data.fd = fd,
			.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev))
			drop(c);
	}
}

static void handle(struct conn *c, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->flags |= READABLE;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->flags |= HUNG;
	if (events & EPOLLOUT && c->block && c->state != HEAD && c->state != WAITING)
		flush(c);
	if (!(c->flags & READABLE))
		return;
	switch (c->state) {
	case HEAD:
		while (c->state == HEAD && c->flags & READABLE)
			read_head(c);
		break;
	case CONTROL:
		read_control(c);
		break;
	case LEG:
		pump(c);
		break;
	case WAITING:
		if (c->flags & HUNG) // it has gone
			drop(c);
		break;
	case FLUSHING:
		if (events & (EPOLLHUP | EPOLLERR))
			drop(c);
		break;
	}
}

static void end(int signal)
{
	(void)signal;
	_exit(0);
}

// tell writes DIR/endpoints.json as a whole.
static void tell(const char *dir, const char *at)
{
	char path[4096], last[4096];
	snprintf(path, sizeof path, "%s/endpoints.json.new", dir);
	snprintf(last, sizeof last, "%s/endpoints.json", dir);
	FILE *f = fopen(path, "w");
	if (!f)
		die(path);
	fprintf(f, "{\"http\":\"%s\",\"https\":\"\",\"admin\":\"%s\",\"management\":\"\"}\n", at, at);
	if (fclose(f) || rename(path, last))
		die(last);
}

int main(int argc, char **argv)
{
	const char *http = "127.0.0.1:0", *dir = NULL;
	for (int i = 1; i + 1 < argc; i++) {
		if (!strcmp(argv[i], "--http"))
			http = argv[++i];
		else if (!strcmp(argv[i], "--data-dir"))
			dir = argv[++i];
	}
	const char *colon = strrchr(http, ':');
	char host[64], at[80];
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(colon ? atoi(colon + 1) : 0)};
	socklen_t size = sizeof a;
	snprintf(host, sizeof host, "%.*s", colon ? (int)(colon - http) : 0, http);
	if (inet_pton(AF_INET, host, &a.sin_addr) != 1 ||
		(ntohl(a.sin_addr.s_addr) >> 24) != 127) {
		fprintf(stderr, "floor: --http %s: want 127.x.y.z:PORT\n", http);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, end);
	signal(SIGINT, end);
	struct rlimit files;
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	int one = 1;
	door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (door < 0 || bind(door, (struct sockaddr *)&a, sizeof a) || listen(door, BACKLOG) ||
		getsockname(door, (struct sockaddr *)&a, &size))
		die("listen");
	if ((epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die("epoll_create1");
	open_door();
	snprintf(at, sizeof at, "%s:%d", host, ntohs(a.sin_port));
	if (dir)
		tell(dir, at);
	printf("floor on http://%s\n", at);
	fflush(stdout);
	for (;;) {
		static struct epoll_event events[EVENTS];
		int n = epoll_wait(epoll, events, EVENTS, -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		batch++;
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (fd == door)
				let_in();
			// A connection accepted in this batch has no event in it: what is
			// there is about the one that had its descriptor before.
			else if ((size_t)fd < conns_max && conns[fd] && conns[fd]->born != batch)
				handle(conns[fd], events[i].events);
		}
		bury();
	}
}
