import { html } from 'ghtml'

interface Looks {
  background: string
  shirt: string
  skin: string
  /** Behind the head. */
  back: string
  /** In front of it. */
  front: string
}

const looks: Record<string, Looks> = {
  amara: {
    background: '#f7c873',
    shirt: '#1f6f78',
    skin: '#8a5638',
    back: '<circle cx="48" cy="35" r="26" fill="#2a1a14"/>',
    front: '<path d="M31 36c2-12 10-16 17-16s15 4 17 16c-5-7-11-9-17-9s-12 2-17 9z" fill="#2a1a14"/><circle cx="30.5" cy="50" r="2.5" fill="#ffe08a"/><circle cx="65.5" cy="50" r="2.5" fill="#ffe08a"/>'
  },
  ben: {
    background: '#a9cdea',
    shirt: '#35416b',
    skin: '#f2caa8',
    back: '',
    front: '<path d="M29 41c-3-20 10-26 20-26 12 0 22 8 18 26-2-7-5-11-9-13-8 3-18 2-22-1-4 3-6 8-7 14z" fill="#c9863c"/><g fill="none" stroke="#35416b" stroke-width="1.8"><circle cx="41" cy="44" r="5.5"/><circle cx="55" cy="44" r="5.5"/><path d="M46.5 43.5h3"/></g>'
  },
  carla: {
    background: '#d9b8e8',
    shirt: '#b3344f',
    skin: '#dba678',
    back: '<path d="M25 44c0-17 9-28 23-28s23 11 23 28c0 12 3 20 6 28H19c3-8 6-16 6-28z" fill="#4a1f24"/>',
    front: '<path d="M30 42c0-13 7-20 18-20s18 7 18 20c-4-3-8-8-10-13-6 7-16 11-26 13z" fill="#4a1f24"/>'
  }
}

/** Draws a person's picture as SVG, so that profiles have one without the internet. */
export function avatar (id: string): string {
  const { background, shirt, skin, back, front } = looks[id]!
  return html`<svg xmlns="http://www.w3.org/2000/svg" viewBox="10 6 76 76" width="96" height="96">
  <rect width="96" height="96" fill="${background}"/>
  !${back}
  <path d="M13 96c0-21 15-29 35-29s35 8 35 29z" fill="${shirt}"/>
  <path d="M40 54h16v12c0 6-16 6-16 0z" fill="${skin}"/>
  <ellipse cx="48" cy="43" rx="17" ry="19.5" fill="${skin}"/>
  <g fill="#2a1a14"><circle cx="41" cy="44" r="1.8"/><circle cx="55" cy="44" r="1.8"/></g>
  <path d="M42 52.5q6 4.5 12 0" fill="none" stroke="#2a1a14" stroke-width="1.8" stroke-linecap="round"/>
  !${front}
</svg>
`
}
