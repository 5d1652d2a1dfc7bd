package emulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"time"
)

// tokenLife is how long tokens are valid unless a test says otherwise.
const tokenLife = time.Hour

// Token returns a token of the emulator's rule for one entity, in the shape
// that .NET signs: scheme http, no port, a slash at the end.
func Token(entity string) string {
	return Sign("http://127.0.0.1/"+entity+"/", KeyName, Key, time.Now().Add(tokenLife))
}

// Sign returns a token for a resource, escaped in upper case.
func Sign(resource, keyName, key string, expiry time.Time) string {
	return SignRaw(url.QueryEscape(resource), keyName, key, expiry)
}

// SignRaw signs the resource text exactly as it shall stand in the token
// (docs/protocol.md, sections 6.2 and 6.3).
func SignRaw(rawResource, keyName, key string, expiry time.Time) string {
	seconds := strconv.FormatInt(expiry.Unix(), 10)
	return "SharedAccessSignature sr=" + rawResource +
		"&sig=" + url.QueryEscape(Signature(rawResource, key, seconds)) +
		"&se=" + seconds + "&skn=" + keyName
}

// Signature computes the sig field before escaping. The key is used as the
// text that users see, not decoded.
func Signature(rawResource, key, seconds string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(rawResource + "\n" + seconds))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
