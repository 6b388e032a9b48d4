# Was das Programm auf dem Schreibtisch sagt. In jeder Sprache stehen dieselben Namen in derselben Folge; ein Test vergleicht sie.

## Das Fenster

window-title = Endtoend
window-title-unread = Endtoend ({ $count })
next = Weiter
back = Zurück
cancel = Abbrechen
copy = Kopieren
dismiss = Schließen
loading = Wird geladen …
you = Du
you-said = Du:

## Zeit

today = Heute
yesterday = Gestern
long-date = { $weekday }, { $day }. { $month } { $year }
short-date = { $day }.{ $month }.{ $year }
monday = Montag
tuesday = Dienstag
wednesday = Mittwoch
thursday = Donnerstag
friday = Freitag
saturday = Samstag
sunday = Sonntag
january = Januar
february = Februar
march = März
april = April
may = Mai
june = Juni
july = Juli
august = August
september = September
october = Oktober
november = November
december = Dezember
seconds = { $count ->
    [one] 1 Sekunde
   *[other] { $count } Sekunden
}
minutes = { $count ->
    [one] 1 Minute
   *[other] { $count } Minuten
}
hours = { $count ->
    [one] 1 Stunde
   *[other] { $count } Stunden
}
days = { $count ->
    [one] 1 Tag
   *[other] { $count } Tage
}
weeks = { $count ->
    [one] 1 Woche
   *[other] { $count } Wochen
}

## Der Weg zu einem Konto

welcome-title = Willkommen bei Endtoend
welcome-text = Nachrichten, die nur du liest und wem du schreibst: nicht der Server und niemand dazwischen.
welcome-note = Du brauchst die Adresse eines Servers. Wer ihn betreibt, kann sie dir geben.
create-account = Konto anlegen
sign-in = Anmelden
sign-in-title = Anmelden
link-choice = Mit einem anderen Gerät
link-choice-note = Du hast ein Gerät im Konto. Es lässt dieses hier ein.
recover-choice = Nur mit dem Passwort
recover-choice-note = Du hast kein anderes Gerät und früher eine Sicherung auf dem Server gelassen.
restore-choice = Aus einer Sicherungsdatei
restore-choice-note = Du hast eine Datei von früher und ihre Passphrase. Sie bringt zurück, was gesagt wurde.
link-title = Dieses Gerät verbinden
link-note = Gleich zeigt dieses Gerät einen Code. Du gibst ihn auf deinem anderen Gerät ein. Nur wenn der Server von allen ein eigenes Passwort verlangt, gehört es hierher.
recover-title = Wer bist du?
server-title = Welcher Server?
server-note = Füge die ganze Adresse ein. Sie beginnt mit endtoend:// und endet mit einer Kennung, an der dieses Gerät den Server erkennt.
server-address = Adresse des Servers
from-code = Aus dem Bild eines Codes …
servers-recent = Auf diesem Rechner schon benutzt:
way = Weg ins Netz
way-link = Weg ins Netz: { $way } …
way-note = Er wird für dieses Profil gewählt und lässt sich später in den Einstellungen ändern.
way-automatic = Von selbst
way-automatic-note = Ein Server auf diesem Rechner direkt, jeder andere durch Tor.
way-tor = Durch Tor
way-tor-note = Dieses Programm bringt Tor mit. Der Server erfährt nicht, von wo du schreibst.
way-proxy = Durch einen Proxy
way-proxy-note = Für ein Tor, das auf diesem Rechner schon läuft, oder einen anderen SOCKS5-Proxy.
way-direct = Ohne Tor
way-direct-note = Der Server und jedes Netz auf dem Weg sehen die Adresse dieses Rechners.
proxy = Adresse und Port des Proxys
proxy-bad = Ein Proxy ist eine Adresse aus Ziffern und ein Port, wie 127.0.0.1:9050. Einen Namen müsste man nachschlagen, und wer gefragt wird, erführe davon.
exposure = { $server } und jedes Netz auf dem Weg erfahren die Adresse dieses Rechners, und damit meistens, wo du bist und wer du bist. Sie sehen jedes Mal, wann du schreibst und wie viel. Was sie erfahren haben, kann niemand zurücknehmen.
exposure-server = Der Server
exposure-wanted = Das habe ich gelesen, und ich will gesehen werden
exposure-unconfirmed = Sag zuerst, dass du gesehen werden willst. Oder nimm einen der anderen Wege.
exposure-go = Meine Adresse zeigen
bridges = Brücken
bridges-note = Wo Tor behindert wird oder nicht gesehen werden darf, kann es bei Brücken beginnen: Relais, die in keiner Liste stehen. Wer hilft, gibt sie als Zeilen weiter oder als Bild eines Codes.
bridges-hint = Je Zeile eine Brücke
bridges-read = Aus einer Datei oder dem Bild eines Codes …
bridges-remove = Keine Brücken
bridges-bad = Eine Zeile ist keine Brücke. Kopiere sie ganz.
bridges-none = Darin ist keine Brücke.
bridges-too-many = Das sind mehr als die 32 Brücken, die behalten werden.
program = Programm, das { $transport } spricht, mit seinem ganzen Pfad
program-found = { $transport } spricht { $path }
code-none = In diesem Bild ist kein Code, der sich lesen lässt. Ist er ganz darauf, und scharf?
backup-title = Eine Sicherung zurückspielen
restore-note = In der Datei sind die Schlüssel deines Kontos und was gesagt wurde. Dateien, die jemand geschickt hat, werden neu geholt, soweit der Server sie hat.
backup-path = Wo die Datei liegt
backup-secret = Passphrase der Sicherung
backup-missing = Die Datei und ihre Passphrase werden beide gebraucht.
backup-server-note = Wo dein Konto lebt, steht in der Sicherung. Nur wenn der Server alle nach einem eigenen Passwort fragt, gehört es hierher.
backup-none = Diese Datei ist keine Sicherung dieses Programms. Wähle eine andere.
backup-newer = Eine neuere Version dieses Programms hat die Sicherung geschrieben. Installiere diese Version.
backup-passphrase = Das ist nicht die Passphrase dieser Sicherung. Versuch es noch einmal; ohne sie kann niemand sie öffnen.
backup-damaged = Die Sicherung ist beschädigt. Nimm eine andere Kopie der Datei.
pinned-note = Dieses Gerät spricht mit diesem Server nur, wenn er beide Schlüssel beweist:
pinned-tls = Schlüssel, der für sein Zertifikat bürgt
pinned-identity = Seine eigene Identität
who-title = Wie heißt du?
handle = Name
handle-note = 3 bis 32 Buchstaben, Ziffern, Punkte, Binde- und Unterstriche. Unter ihm schreiben dir andere.
optional-note = Manche Server verlangen eines davon. Wer dir die Adresse gab, wird es dir gesagt haben.
invite = Einladung (falls du eine hast)
server-password = Passwort des Servers (falls er eines hat)
invite-form = Eine Einladung hat 26 Buchstaben und Ziffern. Kopiere sie ganz.
password-title = Dein Passwort
password = Passwort
password-again = Dasselbe Passwort noch einmal
password-of-account = Das Passwort deines Kontos. Es öffnet auch dieses Gerät.
password-advice = Vier oder fünf Wörter, die nichts miteinander zu tun haben, sind gut und leicht zu merken.
password-honest = Niemand kann es zurücksetzen: nicht der Server und nicht wir. Vergisst du es, bleibt zu, was auf diesem Gerät ist, und ohne ein anderes Gerät ist das Konto verloren.
password-is-set = Dieses Gerät hat sein Passwort schon, vom Versuch davor. Für ein anderes beginne von vorn.
password-weak = Das ist zu schnell erraten. Nimm ein längeres aus mehreren Wörtern.
password-differs = Die beiden sind nicht gleich. Gib sie noch einmal ein.
password-missing = Gib zuerst das Passwort ein.
strength-seconds = In Sekunden erraten.
strength-minutes = In einer Stunde erraten, wenn jemand deine Festplatte hat.
strength-days = Hält einige Tage gegen jemanden, der deine Festplatte hat. Ein Wort mehr macht es viel besser.
strength-years = Hält Jahre gegen jemanden, der deine Festplatte hat.
strength-centuries = Hält länger, als jemand lebt.
profile-without-account = Dieses Gerät hat ein Passwort und noch kein Konto.
start-over = Von vorn beginnen
waiting-title = Einen Augenblick
step-opening = Aus deinem Passwort wird ein Schlüssel. Das dauert mit Absicht eine oder zwei Sekunden: Raten soll langsam sein.
step-asking = Der Server wird gefragt …
step-restoring = Was gesagt wurde, wird zurückgebracht …
step-cancelling = Wird abgebrochen …
step-code = Öffne auf deinem anderen Gerät die Einstellungen, dort die Geräte, und gib diesen Code ein. Er gilt einige Minuten.
step-digits = Dein anderes Gerät muss dieselben Ziffern zeigen. Wenn ja, sag es dort; wenn nicht, brich hier ab.
unlock-title = Willkommen zurück
unlock-note = Deine Nachrichten auf diesem Gerät sind versiegelt. Dein Passwort öffnet sie.
open = Öffnen

## Die Liste

settings = Einstellungen
filter = Suchen (Strg+F)
requests = Anfragen
conversations = Unterhaltungen
no-conversations = Noch keine Unterhaltungen. Mit + schreibst du jemandem.
none-found = Nichts gefunden. Mit + schreibst du jemand Neuem.
messages-found = Nachrichten
nameless = Hat nicht gesagt, wer es ist
identity-changed-short = Identität hat sich geändert
blocked-short = Blockiert
typing = Schreibt …
draft = Entwurf:
nothing-said = Noch nichts gesagt
online = Verbunden
online-tor = Durch Tor verbunden
online-proxy = Durch einen Proxy verbunden
connecting = Wird verbunden …
offline = { $why }
offline-retry = { $why } Nächster Versuch in { $left }.
new-chat = Neue Unterhaltung
new-chat-note = Der Handle von jemandem auf deinem Server, oder der Link, den dir jemand gegeben hat.
handle-or-link = Handle oder Link
write = Schreiben
palette = Menschen, Nachrichten, Befehle
none-here = Nichts gefunden.
next-unread = Nächste Unterhaltung mit Neuem

## Die Unterhaltung

nothing-open = Wähle eine Unterhaltung oder beginne eine mit +.
details = Einzelheiten
disappear-after = Nachrichten verschwinden nach { $after }
first-words = Noch nichts gesagt. Was du schreibst, kann nur { $name } lesen.
beginning = Der Anfang deiner Unterhaltung mit { $name }
new-below = Neue Nachrichten
to-the-end = Zum Ende
unread-above = { $count ->
    [one] ↑ Eine Nachricht, die du nicht gelesen hast
   *[other] ↑ { $count } Nachrichten, die du nicht gelesen hast
}
to-day = Zu einem Tag
day-form = 26.11.2026 oder 2026-11-26
day-note = Die erste Nachricht dieses Tages, oder des nächsten, an dem etwas gesagt wurde.
emoji-find = Ein Emoji suchen
link-open = { $host } öffnen
link-title-open = Diesen Link öffnen?
link-note-open = Er führt aus diesem Programm hinaus, zu diesem Rechner:
link-disguised = Der Link ist so geschrieben, dass er anderswohin zu führen scheint.
link-unsealed = Auf dem Weg dorthin können andere mitlesen und ändern, was kommt.
select-words = Auswählen
select-note = Markiere, was du brauchst, und kopiere es mit Strg+C.
copy-all = Alles kopieren
write-to = An { $name } schreiben
send = Senden
file-to = Dateien für { $name }
file-choose = Wählen …
file-path = Oder wo eine liegt
file-note = Oder lass Dateien auf das Fenster fallen, oder füge ein Bild ein. Bilder in JPEG, PNG und WebP werden ohne das gesendet, was die Kamera hineingeschrieben hat; alles andere, wie es ist.
picture = Bild
picture-pasted = Bild aus der Zwischenablage
file-fetch = Holen
file-save = Speichern
play = Abspielen
play-title = Mit einem anderen Programm abspielen?
play-note = Dieses Programm spielt keine Töne. Das Programm des Systems dafür bekommt eine unverschlüsselte Kopie, die weggenommen wird, wenn dieses Profil verschlossen oder beendet wird; was jenes Programm davon behält, kann dieses nicht wissen.
file-again = Noch einmal
file-far = { $done } von { $all }
file-saved = Gespeichert als { $path }
size-bytes = { $count ->
    [one] 1 Byte
   *[other] { $count } Bytes
}
size-kilobytes = { $count } kB
size-megabytes = { $count } MB
size-gigabytes = { $count } GB
decimal-mark = ,
fault-gone = Der Server hat sie nicht mehr.
fault-forged = Was der Server gab, ist nicht, was geschickt wurde.
fault-no-room = Der Server hat im Augenblick keinen Platz dafür.
fault-not-taken = Der Server nimmt keine Datei dieser Länge.
fault-disk = Der Datenträger dieses Geräts ist voll oder gestört.
fault-refused = Der Server hat abgelehnt.
bytes-left = { $count ->
    [one] noch 1 Byte
   *[other] noch { $count } Bytes
}
bytes-over = { $count ->
    [one] 1 Byte zu lang: sag es in zwei Nachrichten
   *[other] { $count } Bytes zu lang: sag es in zwei Nachrichten
}
answering = Antwort
editing = Nachricht ändern
edited = geändert
message-deleted = Nachricht gelöscht
message-unknown = Eine Nachricht, die nur eine neuere Fassung zeigen kann
message-card = Kontakt: { $name }
not-sent = nicht gesendet
answered-elsewhere = Eine frühere Nachricht
answer = Antworten
edit = Ändern
retry = Noch einmal senden
delete-everywhere = Für alle löschen
delete-here = Hier löschen
cannot-write = Hier kannst du gerade nicht schreiben.
request = { $name } möchte dir schreiben. Ob du das gelesen hast, erfährt niemand.
identity-changed = Die Identität von { $name } hat sich geändert. Es kann ein neues Gerät sein oder jemand dazwischen. Nichts wird gesendet, bis du die Sicherheitsnummer verglichen und die neue Identität angenommen hast.
blocked = Du hast { $name } blockiert.
ignored = Du beachtest { $name } nicht.
accept = Annehmen
ignore = Nicht beachten
block = Blockieren
unblock = Nicht mehr blockieren
compare = Sicherheitsnummer vergleichen
notice-missing = { $count ->
    [one] Eine Nachricht von { $name } kam nicht an.
   *[other] { $count } Nachrichten von { $name } kamen nicht an.
}
notice-expired = { $count ->
    [one] Eine Nachricht von { $name } kam nicht an. Ein Server behält nichts länger als 30 Tage, oder er hat etwas ausgelassen.
   *[other] { $count } Nachrichten von { $name } kamen nicht an. Ein Server behält nichts länger als 30 Tage, oder er hat etwas ausgelassen.
}
notice-blocked = { $count ->
    [one] Eine Nachricht von { $name } wurde geschrieben, während du blockiert hast.
   *[other] { $count } Nachrichten von { $name } wurden geschrieben, während du blockiert hast.
}
notice-late = { $count ->
    [one] Eine Nachricht von { $name } kam nach späteren.
   *[other] { $count } Nachrichten von { $name } kamen nach späteren.
}
notice-mended = { $count ->
    [one] Eine Nachricht von { $name } fehlte und kam doch noch.
   *[other] { $count } Nachrichten von { $name } fehlten und kamen doch noch.
}
notice-forked = Was ein Gerät von { $name } sagt, folgt nicht aus dem, was es vorher gesagt hat: Es wurde auf einen älteren Stand gesetzt, oder jemand anderes benutzt seine Schlüssel. Frag auf einem anderen Weg nach. ({ $count })
notice-restarted = Ein Gerät von { $name } zählt seine Nachrichten neu: Ob alle davor ankamen, ist nicht bekannt. ({ $count })

## Das Blatt zur Person

safety-title = Sicherheitsnummer
safety-note = Vergleiche sie mit { $name } auf einem anderen Weg als diesem: am Telefon oder nebeneinander. Seht ihr beide dieselben Ziffern, ist niemand dazwischen.
safety-changed = Die Identität von { $name } ist nicht die, der du bisher vertraut hast. Vergleiche diese neue Nummer, bevor du sie annimmst.
mark-verified = Beide sehen dieselben Ziffern
is-verified = Du hast diese Nummer verglichen.
unmark-verified = Doch nicht verglichen
accept-identity = Neue Identität annehmen
code-own = Meinen Code zeigen
code-own-note = Wenn { $name } das von deinem Bildschirm einscannt, bleibt dort nichts zu vergleichen.
code-theirs = Code der anderen Seite lesen …
code-other-person = Das ist der Code von jemand anderem.
device-known = hier bekannt seit { $when }
device-compared = ✓ war da, als du verglichen hast
device-later = kam, nachdem du verglichen hast
devices-of-note = Alle beweisen die Identität, zu der die Sicherheitsnummer gehört. Wer ein Gerät in das Konto von jemandem bringt, schreibt und liest von da an als diese Person: Kam eines, das du nicht erwartet hast, frag auf einem anderen Weg nach.
devices-unknown = Noch nicht bekannt: der Server wird gefragt, wenn du schreibst.
removal = Unterhaltung entfernen …
removal-note = Alles, was hier gesagt wurde, geht, auf allen deinen Geräten.
removal-title = Die Unterhaltung mit { $name } entfernen?
removal-lost = Alles, was mit { $name } gesagt wurde, geht endgültig, auf diesem Gerät und auf deinen anderen: Nachrichten, Dateien, was du begonnen hast und was auf das Senden wartet. Nichts bringt es zurück als eine Sicherung, die du vorher gemacht hast.
removal-kept = { $name } erfährt nichts davon und behält, was dort ankam.
removal-contact = Und vergessen, wer das ist
removal-contact-note = Der Name, den du vergeben hast, was du verglichen und entschieden hast, und wie sich die Person zeigt, gehen auch. Was sie später schreibt, kommt wie von jemand Fremdem.
removal-really = Endgültig entfernen
removal-blocked = Mit dem Kontakt ginge die Blockade. Nimm sie zuerst zurück, oder entferne nur die Unterhaltung.
removal-oneself = Das ist dein eigenes Konto. Nur was du dir selbst geschrieben hast, kann gehen.
shared-title = Dateien
shared-none = Noch keine.
face-name-theirs = „{ $name }“ ist ein selbst gewählter Name. Er beweist nichts; der Handle sagt, wer es ist.
nickname = Name auf deinen Geräten
nickname-note = Niemand sonst sieht ihn. Steht hier nichts, gilt der selbst gewählte Name oder der Handle.
keep = Behalten
pin = Über den anderen
mute-title = Benachrichtigungen
mute-no = Wie in den Einstellungen
mute-for = { $time } lang keine
mute-for-good = Keine
mute-until = Keine bis { $when }
timer-title = Verschwindende Nachrichten
timer-note = Gilt für alles, was ihr beide von jetzt an schreibt.
timer-off = Nachrichten bleiben
block-note = Der Server hält ab, was von dort kommt, und sagt es niemandem.
unblock-note = Kann dir dann wieder schreiben.
accept-note = Kann dir dann schreiben.

## Die Einstellungen

account = Konto
face = Wie andere dich sehen
face-note = Alle, die du angenommen hast und die dir geschrieben haben, sehen diesen Namen und dieses Bild. Beides geht versiegelt zu ihnen wie eine Nachricht; der Server sieht es nicht. Für alle anderen bist du dein Handle und sein Muster. Wer es gesehen hat, hat es vielleicht behalten.
face-name = Name
face-no-name = Kein Name gewählt: gezeigt wird dein Handle.
face-choose = Bild auswählen …
face-remove = Bild entfernen
face-save = Anderen zeigen
discard = Verwerfen
face-cut-side = Wie viel davon
face-cut-left = Von links nach rechts
face-cut-top = Von oben nach unten
copy-server = Adresse des Servers kopieren
own-link = Dein Link
own-link-note = Wer ihn von dir selbst hat, eingescannt oder eingefügt, schreibt dir und niemandem dazwischen.
copy-link = Deinen Link kopieren
appearance = Aussehen
look = Hell oder dunkel
look-system = Wie das System
look-light = Hell
look-dark = Dunkel
scale = Größe der Schrift
language = Sprache
privacy = Privates
receipts = Sagen, dass Nachrichten ankamen und gelesen wurden
receipts-note = Eine Bestätigung zeigt durch ihre Zeit auch dem Server, dass du da bist.
tell-typing = Sagen, dass ich schreibe
tell-typing-note = Davon hört nur, wen du angenommen hast.
this-device-title = Dieses Gerät
network = Netz
connection = Verbindung
way-go = Diesen Weg nehmen
way-none = Noch nicht versucht.
way-here = Direkt, innerhalb dieses Rechners.
way-exposed = Direkt: Der Server und jedes Netz auf dem Weg sehen die Adresse dieses Rechners.
way-by-proxy = Durch den Proxy { $proxy }.
tor-off = Durch Tor, das gerade nicht läuft.
tor-starting = Tor startet: { $percent } %
tor-ready = Durch Tor, das bereit ist. Dein Server wurde noch nicht darüber erreicht.
tor-verified = Durch Tor, und dein Server hat darüber seine Schlüssel bewiesen.
bridges-used = Tor beginnt bei Brücken ({ $kinds }).
bridges-unused = Tor beginnt bei öffentlichen Relais: Wer dieses Netz beobachtet, sieht, dass es Tor ist, und nicht wofür.
check = Den Server fragen
checked = Der Server hat nach { $took } Millisekunden geantwortet.
new-circuits = Neuer Kanal
circuits-renewed = Von jetzt an werden andere Relais benutzt. Die Verbindung wird neu aufgebaut.
server-title-short = Server
network-note = Dieses Gerät spricht mit diesem Server nur, wenn er beide Schlüssel beweist. Sie kamen mit seiner Adresse.
lock-after = Verschließen, wenn niemand da ist
lock-never = Nie
lock-note = Ein verschlossenes Profil empfängt nichts. Sein Passwort öffnet es wieder.
lock-now = Jetzt verschließen
clear-clipboard = Geheimes aus der Zwischenablage löschen
clear-clipboard-note = Dein Link und Sicherheitsnummern verlassen sie nach einer Minute.
notices = Benachrichtigungen
notices-show = Was sie zeigen
notices-nothing = Gar nichts
notices-something = Dass etwas kam
notices-name = Wer geschrieben hat
notices-words = Wer, und was
notices-note = Was sie zeigen, sehen vielleicht andere auf diesem Bildschirm, und der Desktop behält es vielleicht. Wer noch nicht angenommen wurde, wird nie zitiert.
close-to-tray = In der Leiste weiterlaufen
close-to-tray-note = Ein geschlossenes Fenster lässt das Programm dort. Ohne Leiste endet es damit.
notice-something = Eine Nachricht ist gekommen.
notice-request = Jemand möchte dir schreiben.
notice-file = Datei: { $name }
tray-show = Öffnen
tray-lock = Verschließen
tray-quit = Beenden
tray-locked = Verschlossen
tray-nothing = Nichts Neues
tray-unread = { $count ->
    [one] 1 neue Nachricht
   *[other] { $count } neue Nachrichten
}
accent = Farbe
accent-green = Grün
accent-blue = Blau
accent-violet = Violett
accent-rust = Rost
accent-grey = Grau
density = Zeilen der Liste
density-roomy = Luftig
density-dense = Dicht
storage = Speicher
usage-messages = Nachrichten, Personen und Schlüssel
usage-files = Dateien
usage-where = Alles ist mit deinem Passwort versiegelt, in { $path }
clear-files = Geholte Dateien löschen
clear-files-really = Löschen
clear-files-note = Dateien, die andere geschickt haben, gehen von diesem Gerät und lassen sich wieder holen, solange der Server sie hat. Deine bleiben.
cleared = { $size } sind wieder frei.
backup = Sicherung
backup-note = Eine Datei mit deiner Identität, Personen und Nachrichten, versiegelt mit einem eigenen Passwort. Sie bringt das Konto zurück, wenn jedes Gerät verloren ist. Was verschwindet, ist nicht darin.
backup-password = Passwort der Sicherung
backup-make = Sicherung schreiben
backup-busy = Wird geschrieben…
written = { $path } hat { $people } Personen und { $messages } Nachrichten.
export = Export
export-note = Personen und Nachrichten in einer Datei, die jeder lesen kann, der sie bekommt. Was verschwindet, ist nicht darin.
export-make = Exportieren
export-really = Unversiegelt schreiben
devices = Geräte
device-number = Gerät { $number }
device-added = dabei seit { $when }
this-device = dieses Gerät
remove = Entfernen
remove-really = Endgültig entfernen
add-device = Gerät hinzufügen
add-device-note = Wähle auf dem neuen Gerät die Anmeldung mit einem anderen Gerät. Es zeigt einen Code; gib ihn hier ein.
link-code = Code des neuen Geräts
compare-digits = Zeigt auch das neue Gerät diese Ziffern?
digits-same = Ja, einlassen
digits-differ = Nein
device-is-in = Das neue Gerät ist in deinem Konto.
keys = Tastatur
keys-send = Senden
keys-line = Neue Zeile
keys-edit = Im leeren Feld: die letzte eigene Nachricht ändern
keys-palette = Menschen, Nachrichten und was das Fenster kann
keys-list = In der Liste suchen
keys-new = Neue Unterhaltung
keys-file = Eine Datei schicken
keys-settings = Einstellungen
keys-lock = Profil verschließen
keys-back = Einen Schritt zurück
keys-sheet = Diese Tasten
keys-neighbour = Unterhaltung darüber, darunter
keys-nth = Erste bis neunte Unterhaltung
keys-paste = Worte oder ein Bild einfügen
keys-emoji = Emoji
keys-naming = Ein Emoji bei seinem Namen, wie in :rakete
keys-choose = Eine Nachricht auswählen
keys-react = Auf sie reagieren
keys-open = Ihre Datei öffnen, holen oder sichern
keys-field = Weiter in Leserichtung, mit Umschalt zurück
keys-arrows = In Listen, Menüs, Reglern und Auswahlen
keys-press = Drücken, was umrandet ist
keys-page = Eine Seite blättern
about = Über
version = Endtoend { $version }
licence = Freie Software unter der GNU Affero General Public License, Fassung 3.
font-licence = Die Schriften sind Inter und ein Teil von Noto Color Emoji, unter der SIL Open Font License.
licences-note = Es besteht aus vielen Teilen von anderen, jedes unter einer Lizenz, die das erlaubt.
licences-show = Zeigen
licences-hide = Verbergen

## Was schiefging, und was zu tun ist

clock-ahead = Die Uhr dieses Geräts geht gegenüber dem Server { $by } vor. Stell sie richtig, sonst werden Verbindungen vielleicht abgelehnt.
clock-behind = Die Uhr dieses Geräts geht gegenüber dem Server { $by } nach. Stell sie richtig, sonst werden Verbindungen vielleicht abgelehnt.
offline-idle = Nicht verbunden.
offline-unreachable = Der Server ist nicht zu erreichen. Was du schreibst, wartet hier. Ist das Netz da und die Adresse richtig?
tor-no-network = Es ist kein Netz da: Tor erreicht gar nichts. Steckt das Kabel, ist das Funknetz an?
tor-clock-wrong = Die Uhr dieses Rechners geht falsch, darum traut Tor keinem Relais. Stelle Datum, Zeit und Zeitzone.
tor-blocked = Dieses Netz behindert Tor. Versuche ein anderes Netz, oder gib ihm Brücken.
tor-bridge-refused = Keine Brücke antwortet. Vielleicht sind auch sie gesperrt, oder nicht mehr da: besorge andere.
tor-program-missing = Ein Programm, das eine Brücke braucht, ist nicht da. Installiere eines, das hier genannt ist, oder sag, wo es liegt.
tor-program-unknown = Nichts, was hier bekannt ist, spricht mit dieser Art von Brücke. Sag, wo ihr Programm liegt, oder nimm andere Brücken.
tor-program-failed = Das Programm, das mit Brücken spricht, arbeitet nicht. Starte es von Hand, um zu sehen, warum, oder nenne ein anderes.
tor-stuck = Tor kommt nicht weiter und wird weiter versucht. Stimmen Datum, Zeit und Zeitzone? Brücken können helfen.
tor-folder = Der Ordner von Tor im Profil lässt sich nicht benutzen. Er muss dir gehören und für andere geschlossen sein.
tor-failed = Tor startet nicht. Schließe andere Programme und versuche es noch einmal; ein Tor, das schon läuft, lässt sich als Proxy benutzen.
tor-not-built = Dieses Programm wurde ohne Tor gebaut. Ein Tor, das schon läuft, lässt sich als Proxy benutzen.
onion-key-missing = Dieser Server lässt nur ein, wer einen Schlüssel von seinem Betreiber hat. Bitte um einen und gib ihn mit endtoend-cli an: tor key add.
onion-key-wrong = Dieser Server kennt den Schlüssel nicht, den du für ihn hast. Bitte seinen Betreiber um einen anderen.
offline-untrusted = Es antwortet etwas, das nicht dein Server ist. Nichts wurde gesendet. Frag nach seiner jetzigen Adresse.
offline-closed = Der Server hat die Verbindung beendet. Ist dieses Profil anderswo offen, schließ es dort.
offline-protocol = Der Server spricht anders als dieses Programm. Eines von beiden ist zu alt.
backup-under-way = Gerade wird eine andere Sicherung oder ein anderer Export geschrieben. Warte darauf.
backup-given-up = Es wurde abgebrochen, bevor es vollständig war. Nichts davon ist geblieben.
engine-stopped = Das Profil ist geschlossen. Schließ das Fenster und öffne es wieder.
engine-not-started = Das System hat keinen Platz für noch einen Faden. Schließ etwas anderes und versuch es noch einmal.
profile-is-locked = Das Profil ist verschlossen.
profile-silent = Das Profil antwortet nicht, vielleicht weil die Festplatte langsam ist. Nichts ist verloren; versuch es gleich noch einmal.
profile-missing = In diesem Ordner ist kein Profil.
profile-exists = In diesem Ordner ist schon ein Profil.
profile-locked = Das Profil ist in einem anderen Fenster oder Programm offen. Schließ es zuerst dort.
wrong-password = Das ist nicht das Passwort. Versuch es noch einmal; ohne es kann niemand dieses Profil öffnen.
profile-damaged = Das Profil ist beschädigt, und nichts wurde geändert. Stell seinen Ordner aus einer Sicherung wieder her.
profile-newer = Eine neuere Fassung dieses Programms hat das Profil geschrieben. Installiere sie.
profile-memory = Zum Öffnen des Profils fehlt Speicher: 64 MiB sind nötig.
profile-unusable = Der Ordner des Profils lässt sich nicht benutzen. Er muss dir gehören und beschreibbar sein, auf einer Platte mit Platz.
profile-failed = Das Profil ließ sich nicht lesen oder schreiben. Bleibt das so, stell seinen Ordner aus einer Sicherung wieder her.
disk-full = Die Festplatte ist voll. Schaff Platz und versuch es noch einmal: Nichts wurde geändert.
outbox-full = Zu viel wartet darauf, gesendet zu werden. Warte, bis der Server einiges genommen hat.
preferences-not-kept = Was du gewählt hast, gilt jetzt, ließ sich aber nicht für das nächste Mal behalten.
account-exists = Dieses Profil hat schon ein Konto.
other-account = Der Verlauf, der hier wiederhergestellt wurde, gehört einem anderen Konto. Beginne von vorn, oder melde dich bei jenem an.
account-missing = Dieses Profil hat noch kein Konto.
account-busy = Gerade wird etwas anderes gefragt. Versuch es gleich noch einmal.
keys-failed = Die Schlüssel dieses Geräts ließen sich nicht machen. Versuch es noch einmal.
no-backup = Von diesem Konto gibt es keine Sicherung. Melde dich mit einem anderen Gerät an, falls noch eines im Konto ist.
link-failed = Die Antwort des anderen Geräts ist nicht gut. Beginne auf beiden Geräten von vorn.
bad-link-code = Das ist kein Code eines neuen Geräts, oder er ist zu alt. Beginne dort von vorn und kopiere den Code ganz.
person-unknown = Auf diesem Gerät noch nicht bekannt. Sobald du verbunden bist, kann der Server gefragt werden.
bad-keys = Der Server gab Schlüssel, die einander widersprechen. Versuch es später; bleibt das so, trau diesem Server nicht.
identity-not-changed = Die Identität hat sich nicht geändert.
identity-not-compared = Die Identität ist nicht die, die du verglichen hast. Vergleiche noch einmal.
send-identity-changed = Nicht gesendet: Die Identität hat sich geändert. Vergleiche zuerst die Sicherheitsnummer.
send-blocked = Nicht gesendet: Du hast diese Person blockiert.
send-no-conversation = Schreib zuerst etwas.
send-not-refused = Diese Nachricht wird ohnehin noch einmal versucht.
link-bad = Das ist kein ganzer Link einer Person. Kopiere alles, bis zur letzten Ziffer.
link-own = Das ist dein eigener Link.
link-other-server = Der Link gehört zu einem anderen Server. Von einem Server zum anderen kann niemand schreiben.
link-other-identity = Der Link hat eine andere Identität, als du von dieser Person kennst: Er ist alt, oder jemand ist dazwischen. Vergleicht die Sicherheitsnummern.
nickname-bad = Ein Name ist eine Zeile von höchstens 128 Bytes.
file-unreadable = Die Datei lässt sich nicht lesen. Ist der Pfad vollständig?
files-too-many = So viele Dateien werden nicht auf einmal gesendet. Sende zuerst diese.
picture-bad = Das ist kein Bild, das gezeigt werden kann. Es lässt sich sichern, wenn du weißt, was es ist.
link-not-opened = Das System hat nichts, das Links öffnet. Kopiere ihn stattdessen.
portrait-too-long = Das Bild hat mehr als 32 MiB. Nimm ein kleineres.
portrait-bad = Das ist kein Bild in JPEG, PNG oder WebP, oder es ist beschädigt. Wähle ein anderes.
sound-unknown = Das ist kein Ton, der hier bekannt ist. Er kann gespeichert werden.
sound-not-opened = Das System hat nichts, das diesen Ton abspielt. Speichere ihn stattdessen.
file-too-long = Die Datei ist länger als 2 GiB.
file-damaged-picture = Die Datei fängt an wie ein Bild und ist beschädigt, also kann niemand sagen, was sonst darin steht. Nichts wurde geschickt.
file-busy = Einige Dateien werden gerade versiegelt oder gespeichert. Versuch es wieder, wenn eine davon fertig ist.
file-not-here = Die Datei ist noch nicht auf diesem Gerät. Hol sie erst.
file-not-moving = Die Datei ist nicht mehr unterwegs.
file-too-large = Die Datei ist zu groß, um gezeigt zu werden. Speichere sie.
file-exists = Es gibt zu viele Dateien dieses Namens. Räum erst im Ordner auf.
file-unwritable = Die Datei ließ sich dort nicht speichern. Ist Platz da, und gehört der Ordner dir?
file-damaged = Die Datei auf diesem Gerät ist beschädigt. Hol sie noch einmal.
text-too-long = Das ist zu lang für eine Nachricht. Sag es in zweien.
refused-credentials = Der Server kennt dieses Konto nicht mit diesem Passwort. Stimmt beides, stimmt die Uhr dieses Geräts?
refused-handle-taken = Jemand heißt schon so. Wähle einen anderen Namen.
refused-registration-closed = Dieser Server nimmt niemand Neuen. Frag, wer ihn betreibt.
refused-version = Dieses Programm und der Server passen nicht zusammen. Eines von beiden ist zu alt.
refused-unknown-account = Niemand auf diesem Server heißt so.
refused-later = Der Server hat zu viel zu tun. Versuch es später noch einmal.
refused-server-password = Der Server verlangt von allen sein eigenes Passwort. Wer ihn betreibt, kennt es.
refused-invite = Der Server verlangt eine Einladung, die noch gilt. Wer ihn betreibt, macht sie.
refused-too-many-devices = Das Konto hat so viele Geräte, wie es haben darf. Entferne zuerst eines.
refused-device-waits = Dieses Gerät kam mit dem Passwort dazu und muss warten, damit sein Besitzer widersprechen kann.
refused-disabled = Wer den Server betreibt, hat dieses Konto gesperrt.
refused-unknown-link = Der Code ist falsch oder zu alt. Beginne auf dem neuen Gerät von vorn.
refused-unknown-device = Das Konto hat kein solches Gerät.
refused-otherwise = Der Server hat abgelehnt.
refused-no-such-message = Die Nachricht ist nicht mehr hier.
refused-not-the-writer = Nur wer eine Nachricht schrieb, kann sie ändern.
refused-deleted = Die Nachricht wurde gelöscht.
refused-no-text = Die Nachricht hat keinen Text.
refused-too-long = Das ist ein wenig zu lang für eine Antwort, eine Änderung oder eine Nachricht, die verschwindet.
refused-older = Etwas Späteres wurde schon gesagt.
refused-not-accepted = Zuerst muss diese Person angenommen sein.
address-scheme = Die Adresse eines Servers beginnt mit endtoend://
address-host = Zwischen endtoend:// und dem Port steht kein Name eines Servers.
address-port = Der Port ist eine Zahl von 1 bis 65535.
address-path = Vor der Kennung darf nur ein einzelnes / stehen.
address-pin = Die Kennung am Ende fehlt oder ist nicht ganz. Kopiere die ganze Adresse.
handle-length = Ein Name hat 3 bis 32 Zeichen.
handle-character = Ein Name hat nur Buchstaben, Ziffern, Punkte, Binde- und Unterstriche.
handle-scripts = Ein Name hat Buchstaben nur eines Alphabets.
handle-confusable = Diese Buchstaben sehen aus wie andere. Schreib ihn mit a bis z, oder wähle einen anderen.
