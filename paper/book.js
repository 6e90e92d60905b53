// book.js: search, light or dark, and what a name stands for. No server: data comes as scripts, when it is first asked for.
'use strict'
const root = document.documentElement, $ = id => document.getElementById(id)
try { if (localStorage.theme) root.dataset.theme = localStorage.theme } catch (e) {}
$('theme').onclick = () => {
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches
  root.dataset.theme = dark ? 'light' : 'dark'
  try { localStorage.theme = root.dataset.theme } catch (e) {}
}
if (matchMedia('(max-width: 56rem)').matches) document.querySelector('.contents').open = false

// load('search', 'bookSearch'): the data of a script, once
const loaded = {}
const load = (file, name) => loaded[file] ||= new Promise(done => {
  window[name] = done
  document.head.append(Object.assign(document.createElement('script'), { src: file + '.js' }))
})

// ---- search: every word must be there; a title counts more than a text ----
const box = $('search'), found = $('found')
const look = async () => {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean)
  if (!words.length) { found.hidden = true; return }
  const all = await load('search', 'bookSearch'), hits = []
  for (const [url, title, text] of all) {
    const t = title.toLowerCase()
    if (!words.every(w => t.includes(w) || text.includes(w))) continue
    let score = 0
    for (const w of words) score += t === w ? 9 : t.startsWith(w) ? 5 : t.includes(w) ? 3 : 1
    hits.push([score, url, title, text])
  }
  hits.sort((a, b) => b[0] - a[0])
  found.replaceChildren(...hits.slice(0, 30).map(([, url, title, text]) => {
    const a = Object.assign(document.createElement('a'), { href: url, textContent: title }), at = text.indexOf(words[0])
    if (at >= 0) a.append(Object.assign(document.createElement('small'), { textContent: '… ' + text.slice(Math.max(0, at - 40), at + 90) + ' …' }))
    return a
  }))
  if (!hits.length) found.textContent = 'nothing found'
  found.hidden = false
}
box.oninput = look
box.onkeydown = e => {
  const links = [...found.querySelectorAll('a')], at = links.findIndex(a => a.classList.contains('on'))
  if (e.key === 'Escape') { found.hidden = true; box.blur() }
  else if (e.key === 'Enter' && links.length) location.href = links[Math.max(at, 0)].href
  else if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
    e.preventDefault()
    links[at]?.classList.remove('on')
    const next = links[(at + (e.key === 'ArrowDown' ? 1 : links.length - 1) + links.length) % links.length]
    next?.classList.add('on'); next?.scrollIntoView({ block: 'nearest' })
  }
}
document.addEventListener('click', e => { if (!found.contains(e.target) && e.target !== box) found.hidden = true })
document.addEventListener('keydown', e => { if (e.key === '/' && document.activeElement !== box) { e.preventDefault(); box.focus() } })

// ---- what a name stands for, while the pointer or the focus is on it ----
const peek = $('peek')
let wait
const show = async a => {
  const label = decodeURIComponent(a.hash.slice(1)), chunk = a.classList.contains('chunk')
  if (!label.startsWith('NW')) return
  const text = chunk ? (await load('code', 'bookCode'))[label] : ((await load('definitions', 'bookDefinitions'))[a.textContent] || [])[0]
  if (!text || a !== current) return
  peek.replaceChildren(Object.assign(document.createElement('pre'), { textContent: text }))
  peek.hidden = false
  const r = a.getBoundingClientRect(), w = peek.offsetWidth
  peek.style.left = Math.max(8, Math.min(r.left, innerWidth - w - 16)) + scrollX + 'px'
  peek.style.top = r.bottom + scrollY + 4 + 'px'
}
let current
const enter = e => { const a = e.target.closest?.('.code a, .index a'); if (!a || !a.hash) return; current = a; clearTimeout(wait); wait = setTimeout(() => show(a), 180) }
const leave = e => { if (e.relatedTarget && peek.contains(e.relatedTarget)) return; current = null; clearTimeout(wait); wait = setTimeout(() => { if (!current) peek.hidden = true }, 150) }
document.addEventListener('mouseover', enter); document.addEventListener('focusin', enter)
document.addEventListener('mouseout', leave); document.addEventListener('focusout', leave)
document.addEventListener('keydown', e => { if (e.key === 'Escape') peek.hidden = true })
